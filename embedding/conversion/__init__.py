"""Converts, quantises and compares models in child processes, and caches what they make."""
