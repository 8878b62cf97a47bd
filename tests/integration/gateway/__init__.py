"""Tests of `gateway/` with real servers."""
