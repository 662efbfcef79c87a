"""Synthetic world of coloured shapes and signs: drawn without end, described without error."""
