"""Rewriting: named rules, one driver, one ordered pipeline."""
