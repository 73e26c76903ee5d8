"""The routes, one module for each part of /docs: decode, call a service, answer."""
