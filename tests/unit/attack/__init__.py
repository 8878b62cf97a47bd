"""Tests of what `make attack` computes from its measurements."""
