"""JSON schemas of the HTTP API, field by field: requests and responses."""
