"""What people read of a comparison: a table in the terminal and a page in a browser."""
