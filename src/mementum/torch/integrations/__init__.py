"""What other libraries and other loops need of the optimizers."""
