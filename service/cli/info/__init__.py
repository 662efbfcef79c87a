"""`pheye info`: what a model is for, what it would take of this machine, and its exact figures."""
