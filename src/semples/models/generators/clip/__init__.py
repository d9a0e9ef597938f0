"""The mask generator ``clip``: CAMs from the vision-language model itself."""
