"""History in, findings out: pure functions that never accuse a correct server."""
