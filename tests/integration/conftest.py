"""Fixtures of the script tests: a link, the scripts, an ear on the channels, one session to drive."""

from collections.abc import AsyncIterator

import pytest

from broker.link import Link
from broker.scripts import Scripts
from broker.subscriber import Subscriber
from tests.hot import Ear, Hot, kept


@pytest.fixture
async def link(redis_url: str) -> AsyncIterator[Link]:
    """A link to an empty Redis."""
    link = Link(redis_url)
    async with kept(link.keeper):
        yield link


@pytest.fixture
async def scripts(redis_url: str) -> AsyncIterator[Scripts]:
    """The scripts, over a link of their own that loads them when it comes up."""
    link = Link(redis_url)
    scripts = Scripts(link)
    async with kept(link.keeper):
        yield scripts


@pytest.fixture
async def ear(redis_url: str, link: Link) -> AsyncIterator[Ear]:
    """Hears channels."""
    subscriber = Subscriber(redis_url)
    ear = Ear(link, subscriber)
    async with kept(subscriber.keeper):
        yield ear


@pytest.fixture
def hot(link: Link, scripts: Scripts, ear: Ear) -> Hot:
    """One session, not opened yet."""
    return Hot(link, scripts, ear)
