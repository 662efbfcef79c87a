"""Measurements of the engine and of the service: load, the cost of the API, a killed worker, a soak."""
