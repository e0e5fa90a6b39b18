"""VAE anomaly detectors for machines, orchestrated on Dagster."""
