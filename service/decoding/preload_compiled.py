"""The second import of the process that decoders are forked from, where compiled code may be used.

Only `multiprocessing`'s fork server has a use for this; anywhere else, importing it changes nothing.
"""

from service.decoding.compiled_views import LOADER
from service.decoding.preload import IN_FORK_SERVER

if IN_FORK_SERVER:
    LOADER.look_later()
