"""Contenders of the user's own: where they are found, and what they say."""

__all__ = ["form", "registry", "source"]
