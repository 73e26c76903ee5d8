"""How recall is measured."""
