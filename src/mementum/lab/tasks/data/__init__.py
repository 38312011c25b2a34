"""Data sets that are fetched: MNIST, CIFAR-10 and WikiText-2, read by our own code."""

__all__ = ["cifar", "download", "mnist", "wikitext"]
