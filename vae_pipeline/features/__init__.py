"""Raw rows to arrays: scaling, windows, statistics, splits."""
