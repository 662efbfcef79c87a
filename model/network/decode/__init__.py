"""One decode step, one new token per row, in shapes that a CUDA graph can record: attention and linear layers.

On a GPU these are Triton kernels (`model/network/kernels`), elsewhere their naive twins in plain torch.
"""
