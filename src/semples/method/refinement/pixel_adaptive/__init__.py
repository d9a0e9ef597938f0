"""Refinement ``pixel_adaptive``: means over neighbors of similar color (PAMR, arXiv 2005.08104)."""
