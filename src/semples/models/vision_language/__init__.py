"""The frozen vision-language model."""
