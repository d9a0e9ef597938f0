"""The WeakTr mask generator (arXiv 2304.01184)."""
