"""The frozen vision-language model, prompts, mask generators and the segmentation network."""
