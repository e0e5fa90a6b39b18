"""Is the data fit to use: expectation suites give a verdict."""
