"""Running cells over time: `scan` and who runs it, the operators of PyTorch, single steps, and the eager reference."""
