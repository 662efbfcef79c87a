"""Readers of the public data sets' own files: each turns them into cases with the paper's prompts."""
