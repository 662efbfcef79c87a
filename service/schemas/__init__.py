"""The JSON of the HTTP API, field by field: what a client may send and what it gets back."""
