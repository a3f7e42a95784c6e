"""`python -m queueproof.cli`: the same command line."""

from queueproof.cli import main

main()
