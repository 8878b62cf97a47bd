"""What operators see of a gateway: metrics, dependency probe, event-loop lag, logs."""
