"""The fast path's network: tensors in, tensors out."""
