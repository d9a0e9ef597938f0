"""The mask generator ``cam``: a pretrained backbone and one convolution."""
