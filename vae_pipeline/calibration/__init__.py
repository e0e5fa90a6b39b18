"""Errors to scores, scores to decisions."""
