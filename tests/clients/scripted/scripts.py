"""The scripts as data: what a client does, what the gateway does to it, connection by connection, and what must come.

`client`: options, times in milliseconds; `tokens` is what `get_token` answers in turn: a token, null (the user gets
none), or `{"fails": reason}`. `do`, in order: `send` a text (its outcome is awaited at the end), `until` an
event has come. `expect.events`: every event in order; `expect.sends`: the outcomes, `{"ack": seq}` or
`{"error": name}`; `expect.ends`: the close code or HTTP status of the error at the end, null when the client leaves.

Events: `connected`, `recovered: source`, `not_recovered: [epoch, seq]` (from where on), `disconnected: code` with
`retry`, `message: text` with `seq`, `joined`/`left`/`typing: name`, `gap: [first, last]`, `persisted: seq`,
`closed: seq`, `count`, `thinking`, `unknown: type`, `error: code`, `token_expiring: seconds`, `token_renewed: token`.

`connections`: the gateway's steps, see `gateway.py`. A `close` or `cut` is the end; else the client has to end it.
"""

from tests.clients.scripted import moments, refusals, sends, streams, tokens
from tests.clients.scripted.building import Json

SCRIPTS: dict[str, Json] = {
    script["name"]: script for part in (moments, refusals, streams, sends, tokens) for script in part.scripts()
}
