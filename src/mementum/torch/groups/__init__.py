"""What a parameter group may say: options, parameters, weight decay."""

__all__ = [
    "arguments",
    "errors",
    "options",
    "parameter_checks",
    "shared_memory",
    "weight_decay",
]
