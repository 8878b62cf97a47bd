"""What is counted: every metric's name, kind, help and labels, and how processes show them to Prometheus."""
