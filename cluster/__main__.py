"""`python -m cluster` is the `seance` command."""

from cluster.cli import main

main()
