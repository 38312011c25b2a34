"""Problems whose model is linear in its inputs."""
