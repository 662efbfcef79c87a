"""A small world that can be drawn without end and described without error: coloured shapes and signs."""
