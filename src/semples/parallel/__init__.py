"""Several processes on one run: the division of the work, shared batches, batch norm across processes."""
