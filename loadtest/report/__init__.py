"""Report of a load test: a document for programs, tables and plots for people."""
