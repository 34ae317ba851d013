"""Tests of `scaler`."""
