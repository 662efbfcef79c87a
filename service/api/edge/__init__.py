"""The edge of the API: what is taken from a request's head, and put on every response, before and behind all routes."""
