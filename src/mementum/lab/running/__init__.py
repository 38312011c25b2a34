"""Runs are carried out here: the training loop, what surrounds it, and where."""
