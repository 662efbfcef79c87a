"""The worker process: a loaded model, its engine, and the scheduler that plans each step."""
