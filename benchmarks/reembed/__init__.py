"""What a re-embed migration costs: its time, the searches beside it, its cut-over, its way back."""
