"""Tasks of the user's own: a file, or a model that a program has at hand."""

__all__ = ["batches", "model", "model_at_hand", "user_file"]
