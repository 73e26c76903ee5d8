"""Fixed texts whose vectors show whether an encoder still produces its space's vectors."""
