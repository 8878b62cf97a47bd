"""The edge process: HTTP and WebSocket in, frames out."""
