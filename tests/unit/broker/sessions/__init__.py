"""Tests of `broker/sessions/`."""
