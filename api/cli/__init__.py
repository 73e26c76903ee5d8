"""The `vecmark` command: a client of the HTTP API, and what runs the service itself."""
