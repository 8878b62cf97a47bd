"""Tests of the comparison of names."""
