"""Plan of a training run: its data, defaults that suit them, what it will do, and how fast it is here."""
