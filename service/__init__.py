"""The serving side: HTTP API, waiting queue and worker processes. It never touches a tensor and never imports torch."""
