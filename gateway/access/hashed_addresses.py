"""Hashes of client addresses, which bans are made of: Redis and Postgres never hold an address."""

import base64
import hashlib
import hmac

from gateway.limits.addresses import subject_of

_BYTES = 15


class HashedAddresses:
    """Hashes with a key made of the installation's `secret`.

    Without the key, all IPv4 addresses could be tried within minutes. The session is part of what is hashed, so that
    nobody sees that one person is in two sessions. After a change of the secret no hash matches any more, and bans of
    addresses are over.
    """

    def __init__(self, secret: str) -> None:
        self._key = hmac.digest(secret.encode(), b"seance address", hashlib.sha256)

    def hashed(self, session_id: str, address: str) -> str:
        """The hash of the address (IPv6: of its /64) in this session; empty for an unknown address."""
        if not address:
            return ""
        digest = hmac.digest(self._key, f"{session_id} {subject_of(address)}".encode(), hashlib.sha256)
        return base64.urlsafe_b64encode(digest[:_BYTES]).decode()
