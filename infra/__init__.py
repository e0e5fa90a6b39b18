"""What runs beside the pipeline: databases, object stores, dashboards, images."""
