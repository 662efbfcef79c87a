"""Traces (OpenTelemetry): the spans of each request, exported by OTLP over HTTP where the environment asks for it."""
