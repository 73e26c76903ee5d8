"""The models of this process: found by name, loaded within a memory budget, verified, linked."""
