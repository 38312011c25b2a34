"""The claims of the papers, and what runs say about them."""
