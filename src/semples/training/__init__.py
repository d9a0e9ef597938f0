"""The training loop of stages 0 to 3 and 5: devices, schedule, one step, checkpoints, moving averages, progress."""
