"""Neural networks on data."""

__all__ = [
    "cnn_mnist1d",
    "gan_ring",
    "lm_bytes",
    "lm_lstm",
    "mlp_digits",
    "paper_tier",
    "pinn_poisson",
    "resnet_digits",
    "tabular",
]
