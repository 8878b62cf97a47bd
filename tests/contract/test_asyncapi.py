"""The AsyncAPI document: valid, and true to all that real gateways and their clients say."""

import asyncio
import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from jsonschema import Draft7Validator, Draft202012Validator
from redis import Redis

from gateway.protocol import close_codes, server_events
from tests.contract.traffic import WRONG, Talk
from tests.gateways import running_gateways, running_workers
from tests.services import Services
from tests.waiting import until

Json = dict[str, Any]
ROOT = Path(__file__).resolve().parent.parent.parent
COMMANDS = {"join", "message", "typing", "ping", "refresh", "leave"}


@pytest.fixture(scope="module")
def talk(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Talk, Json]]:
    """Everything that can be said, once for all tests, and the document of the same gateway."""
    folder = tmp_path_factory.mktemp("talk")
    with (
        running_gateways(services, folder, resume_grace_seconds=1, max_buffer_bytes=16_384) as [gateway],
        running_gateways(
            services,
            tmp_path_factory.mktemp("strict"),
            max_backlog=1,
            heartbeat_seconds=1,
            join_timeout_seconds=1,
            limits="on",
            limit_messages_connection="0.1+3",
            limit_resumes="0.01+1",
            auth_mode="token",
        ) as [strict],
    ):
        with running_workers(services, folder):  # what other tests left behind would count for the backlog, too
            until(lambda: _waiting(services) == 0, what="empty streams")
        document: Json = httpx.get(f"{gateway.url}/asyncapi.json").json()
        talk = Talk(services, gateway, strict)
        asyncio.run(talk.backlog())
        with running_workers(services, folder):
            asyncio.run(talk.all())
        yield talk, document


def _waiting(services: Services) -> int:
    """How many entries wait for Postgres."""
    with Redis.from_url(services.redis_url) as redis:
        return sum(redis.xlen(key) for key in redis.keys("*:events"))


def validator(document: Json, message: str) -> Draft202012Validator:
    """Checks what a message holds."""
    payload = document["components"]["messages"][message]["payload"]
    return Draft202012Validator({**payload, "components": document["components"]})


def strictly(document: Json) -> Json:
    """The document, with no field allowed that it does not name."""
    document = copy.deepcopy(document)
    for schema in document["components"]["schemas"].values():
        schema["additionalProperties"] = False
    return document


def test_is_valid(talk: tuple[Talk, Json]) -> None:
    """It is AsyncAPI 3.0, by the specification's own schema."""
    schema = json.loads((ROOT / "tests/schemas/asyncapi-3.0.0.json").read_text(encoding="utf-8"))
    assert [error.message for error in Draft7Validator(schema).iter_errors(talk[1])] == []


def test_references_lead_somewhere(talk: tuple[Talk, Json]) -> None:
    """Every reference names something in the document, and every schema and message is referred to."""
    _, document = talk
    targets = set(re.findall(r'"\$ref": "#/([^"]+)"', json.dumps(document)))
    for target in targets:
        found: Any = document
        for name in target.split("/"):
            found = found[name]
    names = {f"components/{kind}/{name}" for kind, found in document["components"].items() for name in found}
    assert names <= targets
    assert {f"channels/session/messages/{name}" for name in document["channels"]["session"]["messages"]} <= targets


def test_schemas_are_valid(talk: tuple[Talk, Json]) -> None:
    """Every schema is one, and every example holds to its own."""
    _, document = talk
    for schema in document["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    for name, message in strictly(document)["components"]["messages"].items():
        assert message["examples"]
        for example in message["examples"]:
            validator(strictly(document), name).validate(example["payload"])


def test_every_event_was_seen(talk: tuple[Talk, Json]) -> None:
    """The talk had every type of event, each reason to leave, each error and each close that the document names."""
    said, document = talk
    sent = {ref["$ref"].rpartition("/")[2] for ref in document["operations"]["events"]["messages"]} - {"batch"}
    assert {event["type"] for event in said.events} == sent
    assert any(isinstance(frame, list) for frame in said.frames)
    reasons = {event["data"]["reason"] for event in said.events if event["type"] == "user_left"}
    assert reasons == {"left", "lost", "removed"}
    codes = {event["data"]["code"] for event in said.events if event["type"] == "error"}
    assert codes == {*server_events.ERRORS, *(end.name for end in close_codes.ALL if end.has_error)}
    named = {close["code"] for close in document["channels"]["session"]["x-closes"]}
    assert said.codes == named - {close_codes.INTERNAL.code}


def test_every_frame_holds_to_its_schema(talk: tuple[Talk, Json]) -> None:
    """All that gateways sent is as the document says, and has no field that it does not name."""
    said, document = talk
    strict = strictly(document)
    validators = {name: validator(strict, name) for name in document["components"]["messages"]}
    for frame in said.frames:
        if isinstance(frame, list):
            validators["batch"].validate(frame)
    for event in said.events:
        validators[event["type"]].validate(event)


def test_every_command_holds_to_its_schema(talk: tuple[Talk, Json]) -> None:
    """What clients said and was understood is as the document says; what was refused is not."""
    said, document = talk
    assert {command["type"] for command in said.said} == COMMANDS
    for command in said.said:
        validator(document, command["type"]).validate(command)
    assert len(said.wrong_answers) == len(WRONG)
    for command, answer in zip(WRONG, said.wrong_answers, strict=True):
        assert not validator(document, command["type"]).is_valid(command), command
        assert answer["data"]["code"] == "validation_error"


def test_no_event_is_left_out(talk: tuple[Talk, Json]) -> None:
    """Whatever the source makes as the type of an event, in Python or Lua, is in the document."""
    _, document = talk
    files = [path for room in ("gateway", "broker") for path in (ROOT / room).rglob("*")]
    made = {
        kind
        for path in files
        if path.suffix in {".py", ".lua"}
        for kind in re.findall(r"""(?:\btag=|"type":|ephemeral\()"([a-z_]+)\"""", path.read_text(encoding="utf-8"))
    }
    assert made == set(document["components"]["messages"]) - {"batch"}
