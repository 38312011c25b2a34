"""Code of the user's: run as Python runs a script, seeded, and kept to itself."""

__all__ = ["chance", "hidden_state", "module", "session", "settings"]
