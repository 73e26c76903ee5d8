"""Fixed texts whose vectors show whether an encoder still makes the space that it claims."""
