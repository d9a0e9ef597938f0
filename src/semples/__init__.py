"""From photographs with image-level tags to pixel masks and a trained segmentation model."""

__version__ = "0.1.0"
