"""How texts are batched for encoding."""
