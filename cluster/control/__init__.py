"""Asking a running supervisor: the requests and replies, and who answers."""
