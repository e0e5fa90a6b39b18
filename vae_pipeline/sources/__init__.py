"""Bring raw data in: downloads, archives, and one reader per kind of dataset."""
