"""Starts the scripted gateway on a free port, and prints its address: `python -m tests.clients.scripted [PORT]`."""

import asyncio
import sys

from tests.clients.scripted.gateway import serve_scripts

if __name__ == "__main__":
    asyncio.run(serve_scripts(int(sys.argv[1]) if sys.argv[1:] else 0))
