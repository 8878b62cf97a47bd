"""One WebSocket: route, upgrade, transport, heartbeat, join."""
