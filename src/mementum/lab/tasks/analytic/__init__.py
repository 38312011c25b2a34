"""Problems in a few variables, whose minimum is known."""

__all__ = ["bistable", "quad", "reddi_periodic", "reddi_stochastic"]
