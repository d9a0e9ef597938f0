"""Class catalogues, readers of data sets, images and masks, and training crops."""
