"""Refinement ``dense_crf``: a fully connected CRF (arXiv 1210.5644)."""
