"""Champions of the registry to Bentos."""
