"""What an optimizer says of itself when asked."""

__all__ = ["explanation", "telemetry"]
