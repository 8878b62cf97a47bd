"""One module for each scenario of the target table."""
