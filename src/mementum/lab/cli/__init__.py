"""The words of the command line, and what they print."""
