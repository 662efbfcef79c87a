"""Load over HTTP; imports neither the model nor the service."""
