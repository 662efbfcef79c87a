"""Imports for the process that decoders are forked from, so that each of them starts with everything loaded.

Only `multiprocessing`'s fork server imports this.
"""

import gc
import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # numpy's threads would be no use here, and a fork is for one thread

import service.decoding.process  # noqa: F401

gc.freeze()  # a collection in a decoder would write to, and so copy, the pages that all of them share
