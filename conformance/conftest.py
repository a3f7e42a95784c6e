"""Makes `pytest conformance --qp-url …` work by itself: the options and the engine come from queueproof's plugin."""

pytest_plugins = ["queueproof.pytest_plugin"]
