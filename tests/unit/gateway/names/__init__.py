"""Tests of the validator of names."""
