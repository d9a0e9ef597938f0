"""A run directory in, one self-contained HTML file out."""
