"""Network of the fast path: tensors in, tensors out."""
