"""The mask generator ``dense``: each place of the vision-language model's image tower compared with texts."""
