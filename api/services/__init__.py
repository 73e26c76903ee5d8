"""What the routes do, without HTTP: checks, calls of the lower layers, answers as wire structs."""
