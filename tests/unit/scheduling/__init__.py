"""Tests of the pure scheduling domain."""
