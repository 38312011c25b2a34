"""Neural networks on data."""

__all__ = [
    "cnn_mnist1d",
    "fashion_conv",
    "fashion_mlp",
    "gan_ring",
    "images",
    "lm_bytes",
    "lm_lstm",
    "mlp_digits",
    "paper_tier",
    "pinn_poisson",
    "resnet_digits",
    "tabular",
    "text_kjv",
]
