"""Converts, quantises and compares models in child processes, and caches the results."""
