"""Tests of `persistence/` with real servers."""
