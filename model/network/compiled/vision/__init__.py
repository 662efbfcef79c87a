"""Vision compiled for a CPU: towers small and large, attention within their tiles, and resized pictures."""
