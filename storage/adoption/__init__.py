"""Adopting another program's table: reading it, and staging the collection that it becomes."""
