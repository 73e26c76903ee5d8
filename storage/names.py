"""What a collection can be called. Imports nothing heavy: `vecmark --help` reads it, too."""

DEFAULT_COLLECTION = "default"

# A regular expression for the whole name.
COLLECTION_PATTERN = "[a-z0-9][a-z0-9_-]{0,62}"
