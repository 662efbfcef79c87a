"""The API process's side of the workers: the queue, what each device costs, what happens when a worker dies."""
