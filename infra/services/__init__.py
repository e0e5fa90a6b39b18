"""Servers that a grown-up installation stands on, started on one machine without a container engine."""
