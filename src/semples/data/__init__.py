"""Class catalogues, readers and transforms."""
