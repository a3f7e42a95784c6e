"""Judging: findings and outcomes become a verdict and an exit code."""
