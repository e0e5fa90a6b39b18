"""People are told: alerts are kept first, delivered then."""
