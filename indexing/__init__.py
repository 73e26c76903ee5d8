"""From documents to vectors: keeps every live index in step with its documents."""
