"""What all gateways count together in Redis, to hold clients to limits."""
