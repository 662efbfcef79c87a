"""What training and evaluation read: samples, manifests, imported data sets and a synthetic world."""
