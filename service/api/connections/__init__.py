"""TCP connections from accept to close: how many, how long, what bytes are HTTP, and how they end at shutdown."""
