"""Importers that turn public data sets into manifests."""
