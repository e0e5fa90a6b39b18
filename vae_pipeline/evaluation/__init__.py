"""How good a detector is, beside baselines."""
