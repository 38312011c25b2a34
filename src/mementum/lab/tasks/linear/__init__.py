"""Problems whose model is linear in its inputs."""

__all__ = ["linear_ae", "logreg_cancer", "mf", "zipf_linear"]
