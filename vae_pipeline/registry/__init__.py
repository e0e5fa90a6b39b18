"""The shelf: MLflow runs, versions, aliases."""
