"""Check of a manifest before it is trained on: what is wrong with it, and what is in it."""
