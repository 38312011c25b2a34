"""What a parameter group may say: options, parameters, weight decay."""

__all__ = ["errors", "options", "parameter_checks", "weight_decay"]
