"""Evaluation of a model on a data set: the work of `pheye evaluate`."""
