"""Imports for the process that decoders are forked from, so that each of them starts with everything loaded.

Only `multiprocessing`'s fork server has a use for this; anywhere else, importing it changes nothing.
"""

import gc
import os
import sys

IN_FORK_SERVER = "numpy" not in sys.modules
if IN_FORK_SERVER:
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # numpy's threads would be no use here, and a fork is for one thread

import service.decoding.process  # noqa: E402, F401

if IN_FORK_SERVER:
    gc.freeze()  # a collection in a decoder would write to, and so copy, the pages that all of them share
