"""Applying the migrations through Alembic's own interface, so that no alembic.ini is needed."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

import migrations

HEAD = "head"


def upgrade(database_url: str, revision: str = HEAD) -> None:
    """Bring the database up to `revision`, the newest by default."""
    command.upgrade(config(database_url), revision)


def downgrade(database_url: str, revision: str) -> None:
    """Take the database back to `revision`; `base` removes everything, `-1` the newest."""
    command.downgrade(config(database_url), revision)


def head() -> str | None:
    """The newest revision there is."""
    return ScriptDirectory.from_config(config("")).get_current_head()


def config(database_url: str) -> Config:
    """Alembic's configuration; the URL travels as an attribute, since ini values would need `%` escaped."""
    settings = Config()
    settings.set_main_option("script_location", str(Path(migrations.__file__).parent).replace("%", "%%"))
    settings.attributes["database_url"] = database_url
    return settings
