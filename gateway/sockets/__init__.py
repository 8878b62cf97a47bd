"""Bytes and one user: the WebSocket codec, the connection and the participant's state machine."""
