"""Tests of `broker/` with real servers."""
