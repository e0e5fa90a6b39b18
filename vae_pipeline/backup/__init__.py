"""Back-ups of the registry and the storage, and their restoring, also into another kind of installation."""
