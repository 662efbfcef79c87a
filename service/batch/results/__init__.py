"""Where the answers of a batch run go: text for people, JSON Lines that can be continued, Parquet."""
