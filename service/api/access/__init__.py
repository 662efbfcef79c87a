"""Access of clients: which API key opens what, and how much each client may ask for at a time."""
