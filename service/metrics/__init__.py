"""Prometheus metrics: those of the service, those of its workers, and the registry behind both."""
