"""The HTTP side of the API process: from a request's bytes to the answer's."""
