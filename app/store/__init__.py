"""Redis: every byte of state. Nothing here decides what should happen to a session; it does it, whole or not at all."""
