"""Network with gradients: the same functions as the fast path's, for training."""
