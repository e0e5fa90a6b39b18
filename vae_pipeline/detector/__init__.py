"""The unit that is registered and served."""
