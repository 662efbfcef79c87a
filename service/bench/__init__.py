"""Benchmarks of the engine without HTTP, the naive server to compare with, and their reports."""
