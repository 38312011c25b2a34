"""What a parameter group may say: options, parameters, weight decay."""
