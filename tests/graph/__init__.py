"""Tests; the folders mirror graphnet/."""
