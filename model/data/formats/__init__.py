"""Entries of the public data sets' own files, read in one way for training and for evaluation."""
