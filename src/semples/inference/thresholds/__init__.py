"""Where to cut CAMs, chosen without ground truth: one module for each family of criteria."""
