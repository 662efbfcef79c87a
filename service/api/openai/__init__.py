"""OpenAI's chat protocol: its requests, its answers and its failures, on top of the native ones."""
