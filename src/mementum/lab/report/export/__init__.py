"""What other programs read of a report."""
