"""Where models are found: added ones, directories, the hub."""
