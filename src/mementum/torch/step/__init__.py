"""What happens between `optimizer.step()` and the kernel."""
