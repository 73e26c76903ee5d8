"""What an index lacks, and who works it off."""
