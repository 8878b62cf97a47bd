"""The scripts as data: what a client does, what the gateway does to it, connection by connection, and what must come.

`client`: options, times in milliseconds. `do`, in order: `send` a text (its outcome is awaited at the end), `until` an
event has come. `expect.events`: every event in order; `expect.sends`: the outcomes, `{"ack": seq}` or
`{"error": name}`; `expect.ends`: the close code or HTTP status of the error at the end, null when the client leaves.

Events: `connected`, `recovered: source`, `not_recovered: [epoch, seq]` (from where on), `disconnected: code` with
`retry`, `message: text` with `seq`, `joined`/`left`/`typing: name`, `gap: [first, last]`, `persisted: seq`,
`closed: seq`, `count`, `thinking`, `unknown: type`, `error: code`.

`connections`: the gateway's steps, see `gateway.py`. A `close` or `cut` is the end; else the client has to end it.
"""

from tests.clients.scripted import moments, refusals, sends, streams
from tests.clients.scripted.building import Json

SCRIPTS: dict[str, Json] = {
    script["name"]: script for script in (*moments.scripts(), *refusals.scripts(), *streams.scripts(), *sends.scripts())
}
