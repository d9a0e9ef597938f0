"""One file per stage, and the pipeline on one screen."""
