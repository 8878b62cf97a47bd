"""Tests of the chaos suite's pure parts."""
