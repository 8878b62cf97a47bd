"""Tests of what `make fuzz` judges by."""
