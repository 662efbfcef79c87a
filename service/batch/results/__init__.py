"""Sinks of the answers of a batch run: text for people, JSON Lines that can be continued, Parquet."""
