"""Graceful shutdown, and the last resort when it hangs."""
