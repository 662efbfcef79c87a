"""Correctness checks on a GPU, each a module of items, with the models and verdicts they share."""
