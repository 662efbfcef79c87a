"""Triton kernels: the code that only a GPU, or Triton's interpreter, can run.

Nothing here asks the device for a number, and every grid depends on sizes of tensors only, so all of it can be captured
in a CUDA graph; what differs from step to step (slots, lengths, positions) is read by the kernels. Callers go through
`model.network.decode`, `model.network.fused` and `model.network.patches`, which have a naive twin for each kernel.
"""
