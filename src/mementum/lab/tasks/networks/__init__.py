"""Neural networks on data."""
