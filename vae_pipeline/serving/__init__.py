"""Answers requests: what a service loads."""
