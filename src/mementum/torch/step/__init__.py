"""What happens between `optimizer.step()` and the kernel."""

__all__ = [
    "bucketing",
    "coefficients",
    "compiled",
    "gradient_norms",
    "gradient_scaling",
    "probe_step",
    "procedure",
    "rule_cache",
]
