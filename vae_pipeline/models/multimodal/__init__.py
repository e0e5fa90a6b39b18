"""The VAE of pairs: a window and an image that belong together."""
