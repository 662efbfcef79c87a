"""The HTTP API: everything from a request's bytes to the answer's bytes."""
