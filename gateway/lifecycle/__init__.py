"""The life of a gateway process: server, drain, fencing, gateway lease, relay probe."""
