"""queueproof proves that a work-queue server keeps its promises, and says how much it can carry while it does."""

__version__ = "0.1.0"
