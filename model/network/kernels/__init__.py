"""Triton kernels for one new token per row: the code that only a GPU, or Triton's interpreter, can run.

Nothing here asks the device for a number, and every grid depends on sizes of tensors only, so all of it can be captured
in a CUDA graph; what differs from step to step (slots, lengths, positions) is read by the kernels. Callers go through
`model.network.decode.attention`, which has a naive twin for each kernel.
"""
