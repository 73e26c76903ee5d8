"""The pool of models: memory, names, spaces and links."""
