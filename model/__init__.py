"""The model room: pixels and tensors. It knows no HTTP, asyncio, Prometheus or environment variables."""
