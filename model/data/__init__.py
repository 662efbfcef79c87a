"""Data for training and evaluation: samples, manifests, imported data sets and a synthetic world."""
