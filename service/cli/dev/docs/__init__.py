"""The documentation's tooling: tables made from the code, and checks that pages are up to date and links work.

Used by `pheye dev docs` and by the tests, never while serving. Each file makes the blocks of one subject; `pages` puts
them into the pages.
"""
