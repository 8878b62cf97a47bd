"""`python -m tests.attack`."""

from tests.attack.cli import main

main()
