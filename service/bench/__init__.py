"""What the benchmark commands run: the engine without HTTP, the naive server, the report."""
