"""What a gateway does from start to end: server, drain, fencing, gateway lease, relay probe."""
