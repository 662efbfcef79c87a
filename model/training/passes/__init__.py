"""The network with gradients: the same functions as the fast path's, for batches that learn."""
