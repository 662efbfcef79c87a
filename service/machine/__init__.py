"""This machine and a model on it, for people: what it needs, how long it takes, what would keep it from serving."""
