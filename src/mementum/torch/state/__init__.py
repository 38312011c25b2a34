"""What is kept of a parameter between steps, how it is stored and how it is cut."""
