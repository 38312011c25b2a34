"""State dicts: what they say, what must hold to load one, and how it is matched."""

__all__ = ["matching", "state_dict", "validation"]
