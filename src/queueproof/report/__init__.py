"""Telling what happened, from run directories alone."""
