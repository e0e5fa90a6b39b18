"""The time-series VAE."""
