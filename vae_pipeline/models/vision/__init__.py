"""The vision VAE."""
