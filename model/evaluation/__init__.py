"""Evaluation: the metrics of the paper's tables, the public data sets they are taken on, and plots."""
