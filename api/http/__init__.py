"""HTTP itself: bodies, errors, streaming, paging, OpenAPI. Knows nothing of the product."""
