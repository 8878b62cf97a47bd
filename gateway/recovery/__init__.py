"""Sends clients the events that they lack, until they get the live ones."""
