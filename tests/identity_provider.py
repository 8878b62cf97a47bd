"""An identity provider for tests: its keys, the tokens that it signs, and an HTTP server that publishes the keys."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

ISSUER, AUDIENCE = "https://id.example", "seance-tests"
Json = dict[str, Any]


class SigningKey:
    """A key pair with an id."""

    def __init__(self, algorithm: str, key_id: str) -> None:
        self.algorithm = algorithm
        self.key_id = key_id
        self.private: Any
        if algorithm == "RS256":
            self.private = rsa.generate_private_key(public_exponent=65_537, key_size=2048)
            public = RSAAlgorithm.to_jwk(self.private.public_key(), as_dict=True)
        elif algorithm == "ES256":
            self.private = ec.generate_private_key(ec.SECP256R1())
            public = ECAlgorithm.to_jwk(self.private.public_key(), as_dict=True)
        else:
            self.private = ed25519.Ed25519PrivateKey.generate()
            public = OKPAlgorithm.to_jwk(self.private.public_key(), as_dict=True)
        self.jwk: Json = {**public, "kid": key_id, "use": "sig", "alg": algorithm}

    def sign(self, headers: Json | None = None, **claims: Any) -> str:
        """A token for AUDIENCE, valid for an hour, with these claims (None: without this claim)."""
        now = int(time.time())
        payload = {"iss": ISSUER, "aud": AUDIENCE, "iat": now, "exp": now + 3600, **claims}
        stated = {name: value for name, value in payload.items() if value is not None}
        return jwt.encode(
            stated, self.private, algorithm=self.algorithm, headers={"kid": self.key_id, **(headers or {})}
        )


def key_set(*keys: SigningKey) -> bytes:
    """The JWK Set of these keys."""
    return json.dumps({"keys": [key.jwk for key in keys]}).encode()


class KeyServer:
    """Answers every GET with `document`; `fetches` counts the requests."""

    def __init__(self, document: bytes) -> None:
        self.document = document
        self.cache_control = "max-age=3600"
        self.status = 200
        self.fetches = 0
        self.answers = asyncio.Event()
        """Requests wait until it is set."""
        self.answers.set()
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError), contextlib.closing(writer):
            while True:
                await reader.readuntil(b"\r\n\r\n")
                self.fetches += 1
                await self.answers.wait()
                head = (
                    f"HTTP/1.1 {self.status} Status\r\nCache-Control: {self.cache_control}\r\n"
                    f"Content-Length: {len(self.document)}\r\n\r\n"
                )
                writer.write(head.encode() + self.document)
                await writer.drain()


@contextlib.asynccontextmanager
async def key_server(document: bytes) -> AsyncIterator[KeyServer]:
    """A running server of keys."""
    keys = KeyServer(document)
    server = await asyncio.start_server(keys.serve, "127.0.0.1", 0)
    keys.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/keys"
    try:
        yield keys
    finally:
        keys.answers.set()
        server.close()
