"""The pipeline in figures, for Prometheus."""
