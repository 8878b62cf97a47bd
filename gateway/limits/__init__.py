"""Limits: the rates that a client must keep to, and the counting."""
