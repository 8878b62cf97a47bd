"""Brings clients that lack events up to the live ones."""
