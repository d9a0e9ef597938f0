"""Criteria that choose where to cut CAMs without ground truth: one module for each family."""
