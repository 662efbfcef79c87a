"""Public data sets turned into manifests."""
