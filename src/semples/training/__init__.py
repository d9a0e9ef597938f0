"""The training loop that stages 0 to 3 and 5 share: one step, checkpoints, moving averages, progress."""
