"""Mask generators: one module or folder each."""
