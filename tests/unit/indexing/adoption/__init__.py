"""How adoption judges samples and rows."""
