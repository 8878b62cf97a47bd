"""All metrics with name, kind, help and labels, and their exposition to Prometheus."""
