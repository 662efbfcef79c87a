"""Metrics of single answers: CIDEr-D, VQA accuracy, exact match, word F1."""
