"""Several processes on one run: who does what, shared batches, batch normalisation across processes."""
