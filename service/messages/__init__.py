"""Messages between the API process and a worker: every one is a named dataclass. Knows no transport."""
