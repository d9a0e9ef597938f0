"""Models applied to whole images over scales and mirror images; knows no run."""
