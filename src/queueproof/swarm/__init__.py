"""Making load happen, inside Locust's processes."""
