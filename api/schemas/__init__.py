"""What goes over the wire: msgspec structs, light to import."""
