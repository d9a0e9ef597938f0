"""The run directory: its layout, and one reader and one writer for each file in it. No torch."""
