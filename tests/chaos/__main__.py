"""`python -m tests.chaos`."""

from tests.chaos.cli import main

main()
