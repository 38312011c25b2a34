"""Problems in a few variables, whose minimum is known."""
