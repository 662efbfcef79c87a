"""The documentation's tooling: tables made from the code, and checks that pages are not stale and links lead somewhere.

Used by `pheye docs` and by the tests, never while serving. Each file makes the blocks of one subject; `pages` puts them
into the pages.
"""
