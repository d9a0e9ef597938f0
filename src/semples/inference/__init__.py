"""Models applied to whole images, over scales and mirror images; independent of runs."""
