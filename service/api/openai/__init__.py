"""OpenAI's chat protocol: its requests, answers and errors, on top of the native ones."""
