"""What other programs read of a report."""

__all__ = ["data_frames", "files", "json_form"]
