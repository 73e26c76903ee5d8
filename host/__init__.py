"""What this process may use of the machine: below all other packages, and importing none."""
