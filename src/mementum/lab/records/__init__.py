"""What is written down of a comparison: runs, plan, journal, and tables of them."""
