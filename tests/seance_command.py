"""The `seance` command in the process of a test."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from click.testing import CliRunner, Result

from cluster.cli import main
from cluster.process.ports import free_port


class Seance:
    """The command, with the servers of this test in its environment."""

    def __init__(self, home: Path, redis_url: str, database_url: str) -> None:
        self.environ = {
            "SEANCE_HOME": str(home),
            "REDIS_URL": redis_url,
            "DATABASE_URL": database_url,
            "PORT": str(free_port()),
        }

    def __call__(self, *arguments: str, **environ: str) -> Result:
        """Run it in a thread of its own: it makes an event loop."""
        with ThreadPoolExecutor(1) as thread:
            run = thread.submit(CliRunner().invoke, main, list(arguments), env={**self.environ, **environ})
            return run.result()
