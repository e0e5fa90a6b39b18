"""Is the world still the same: what was served, and how it compares."""
