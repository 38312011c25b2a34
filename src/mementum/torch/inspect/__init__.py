"""What an optimizer says of itself when asked."""
