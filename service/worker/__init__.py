"""The worker process: one loaded model, its engine, and the scheduler that plans each step."""
