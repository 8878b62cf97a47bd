"""More than 200 kinds of bad token, in one place: whatever takes a token must refuse each of them.

Each kind is made from the claims of a good token, so that nothing but its fault can be the reason of a refusal.
"""

import base64
import hashlib
import hmac
import json
import time
import uuid
from collections.abc import Iterator
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization

from gateway.access.tokens import key_id_of
from tests.identity_provider import SigningKey

Json = dict[str, Any]
OTHER_SESSION = "99999999-9999-4999-8999-999999999999"
# What no claim that is a text may be.
_NO_TEXTS: tuple[object, ...] = (7, 1.5, True, False, [], ["x"], {}, {"x": 1}, "")
# What no claim that is an instant may be.
_NO_INSTANTS: tuple[object, ...] = ("", "soon", "9999999999", [], [9_999_999_999], {}, {"n": 1}, True, float("nan"))


def bad_tokens(claims: Json, secret: str, old_secret: str, key: SigningKey) -> dict[str, str]:
    """Kind → token. `claims` are those of a good token of ours; `key` is an RS256 key of the identity provider."""
    now = int(time.time())
    good = {"iss": "seance", "iat": now, "exp": now + 3600, **claims}
    found: dict[str, str] = {}
    for kind, token in (
        *_forms(good, secret),
        *_headers(good, secret, old_secret),
        *_signatures(good, secret),
        *_claims(good, secret),
        *_confusions(good, secret, key),
        *_provided(claims, key),
    ):
        assert kind not in found, kind
        found[kind] = token
    return found


def signed(payload: bytes | Json, secret: str, header: bytes | Json | None = None) -> str:
    """A token with exactly this header and payload, signed with HMAC-SHA256 whatever the header says."""
    stated = header if header is not None else {"alg": "HS256", "typ": "JWT"}
    parts = [_part(stated), _part(payload)]
    digest = hmac.digest(secret.encode(), ".".join(parts).encode(), hashlib.sha256)
    return ".".join((*parts, _encoded(digest)))


def _part(content: bytes | Json) -> str:
    return _encoded(content if isinstance(content, bytes) else json.dumps(content).encode())


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _forms(good: Json, secret: str) -> Iterator[tuple[str, str]]:
    token = signed(good, secret)
    header, payload, signature = token.split(".")
    yield from {
        "one letter": "a",
        "words": "let me in",
        "a UUID": str(uuid.uuid4()),
        "only dots": "..",
        "three letters": "a.b.c",
        "the header alone": header,
        "no signature part": f"{header}.{payload}",
        "no header": f".{payload}.{signature}",
        "no payload": f"{header}..{signature}",
        "four parts": f"{token}.{signature}",
        "five parts, as encrypted tokens have": f"{token}.{header}.{signature}",
        "a dot behind": f"{token}.",
        "a dot before": f".{token}",
        "parts in another order": f"{payload}.{header}.{signature}",
        "a space inside": f"{header}. {payload}.{signature}",
        "quoted": f'"{token}"',
        "twice": token + token,
        "two, with a comma": f"{token},{token}",
        "Bearer twice": f"Bearer {token}",
        "padded": f"{token}=",
        "padded payload": f"{header}.{payload}==.{signature}",
        "the standard alphabet": f"{header}.{payload}.{signature[:-2]}+/",
        "an accent in the signature": f"{token}é",
        "a full-width letter": f"\uff41{token}",
        "an emoji": f"{header}.{payload}🔮.{signature}",
        "capitals": token.upper(),
        "small letters": token.lower(),
        "hexadecimal": token.encode().hex(),
        "encoded once more": _encoded(token.encode()),
        "JSON instead of base64": f"{json.dumps({'alg': 'HS256'})}.{payload}.{signature}",
        "flattened JSON form": json.dumps({"payload": payload, "protected": header, "signature": signature}),
        "a signed token of 5 000 characters": signed({**good, "note": "x" * 5000}, secret),
        "a million dots": "." * 4000,
        "null": "null",
        "undefined": "undefined",
        "a path": "../../etc/passwd",
    }.items()


def _headers(good: Json, secret: str, old_secret: str) -> Iterator[tuple[str, str]]:
    algorithms: tuple[object, ...] = (
        *("none", "None", "NONE", "nOnE", "", " ", "hs256", "HS-256", "HS256 ", "HS384", "HS512", "SHA256", "HMAC"),
        *("RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "ES512", "ES256K", "EdDSA", "dir", "A256GCM"),
        *(None, 0, 256, True, [], ["HS256"], {}, {"HS256": 1}),
    )
    for algorithm in algorithms:
        yield f"header: alg {algorithm!r}", signed(good, secret, {"alg": algorithm})
    unsigned = signed(good, secret, {"alg": "none"})
    yield "header: alg none, not signed", unsigned.rpartition(".")[0] + "."
    yield "header: HS256, not signed", signed(good, secret).rpartition(".")[0] + "."
    yield "header: no alg", signed(good, secret, {"typ": "JWT"})
    yield "header: alg twice", signed(good, secret, b'{"alg": "none", "alg": "HS256"}')
    yield "header: alg twice, none last", signed(good, secret, b'{"alg": "HS256", "alg": "none"}')
    own, old = key_id_of(secret), key_id_of(old_secret)
    key_ids: tuple[object, ...] = (
        "",
        "x",
        own[:-1],
        own + "x",
        own.swapcase(),
        "../../dev/null",
        "' OR 1=1 --",
        0,
        True,
        [],
        [own],
        {},
    )
    for key_id in key_ids:
        yield f"header: kid {key_id!r}", signed(good, secret, {"alg": "HS256", "kid": key_id})
    yield "header: kid of the former secret", signed(good, secret, {"alg": "HS256", "kid": old})
    yield "header: former secret with the kid of the new one", signed(good, old_secret, {"alg": "HS256", "kid": own})
    yield "header: kid twice", signed(good, secret, f'{{"alg":"HS256","kid":"{own}","kid":"{own}"}}'.encode())
    for name, value in (("crit", ["exp"]), ("crit", ["unknown"]), ("crit", "exp"), ("crit", []), ("b64", False)):
        yield f"header: {name} {value!r}", signed(good, secret, {"alg": "HS256", name: value})
    for raw in (
        b"",
        b"null",
        b"[]",
        b'"HS256"',
        b"7",
        b"{",
        b"{}",
        b'\xff{"alg":"HS256"}',
        b"[" * 900,
        b"{'alg':'HS256'}",
    ):
        yield f"header: {raw[:20]!r}", signed(good, secret, raw)


def _signatures(good: Json, secret: str) -> Iterator[tuple[str, str]]:
    token = signed(good, secret)
    content, _, signature = token.rpartition(".")
    header, payload = content.split(".")
    digest = bytearray(base64.urlsafe_b64decode(signature + "="))
    for bit in range(0, 256, 16):
        flipped = digest.copy()
        flipped[bit // 8] ^= 1 << bit % 8
        yield f"signature: bit {bit} flipped", f"{content}.{_encoded(bytes(flipped))}"
    for left in (0, 1, 16, 31):
        yield f"signature: {left} bytes", f"{content}.{_encoded(bytes(digest[:left]))}"
    yield "signature: a byte more", f"{content}.{_encoded(bytes(digest) + b'x')}"
    yield "signature: zeros", f"{content}.{_encoded(bytes(32))}"
    yield (
        "signature: of the payload alone",
        f"{content}.{_encoded(hmac.digest(secret.encode(), payload.encode(), 'sha256'))}",
    )
    yield "signature: of an empty text", f"{content}.{_encoded(hmac.digest(secret.encode(), b'', 'sha256'))}"
    yield "signature: a plain hash", f"{content}.{_encoded(hashlib.sha256(content.encode()).digest())}"
    yield "signature: SHA-512", f"{content}.{_encoded(hmac.digest(secret.encode(), content.encode(), 'sha512'))}"
    yield "signature: hexadecimal", f"{content}.{digest.hex()}"
    last = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".index(signature[-1])
    for unused in (1, 2, 3):
        other = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[last ^ unused]
        yield f"signature: unused bits {unused}", token[:-1] + other
    for wrong in ("", "secret", "a" * 32, secret[:-1], secret + " ", secret.upper(), secret[::-1], "\0" + secret):
        yield f"signature: secret {wrong[:8]!r}, {len(wrong)} characters", signed(good, wrong)
    yield "signature: of another token", f"{content}.{signed({**good, 'iat': 1}, secret).rpartition('.')[2]}"
    changed = _part({**good, "sid": OTHER_SESSION})
    yield "payload changed afterwards", f"{header}.{changed}.{signature}"
    yield "payload with a space behind", f"{header}.{_part(json.dumps(good).encode() + b' ')}.{signature}"


def _claims(good: Json, secret: str) -> Iterator[tuple[str, str]]:
    now = int(time.time())
    changes: list[tuple[str, object]] = [
        *(("exp", value) for value in (*_NO_INSTANTS, 0, 1, -1, now - 60, now - 86_400, 10**30, float("inf"), 1e308)),
        *(("iat", value) for value in (*_NO_INSTANTS, now + 60, now + 86_400, 10**30)),
        *(("nbf", value) for value in (*_NO_INSTANTS, now + 60, now + 86_400, 10**30)),
        *(("iss", value) for value in (*_NO_TEXTS, "Seance", "seance ", "https://id.example", "x" * 300)),
        *(("aud", value) for value in ("elsewhere", ["elsewhere"], ["seance"], "seance-tests", 7, {"a": 1})),
        *(
            ("scope", value)
            for value in (*_NO_TEXTS, "root", "Admin", "admin ", "user admin", "*", "sessions", ["admin"])
        ),
        *(
            ("sid", value)
            for value in (*_NO_TEXTS, OTHER_SESSION, "*", "x" * 300, f"{good['sid']} ", good["sid"].upper() + "x")
        ),
        *(("jti", value) for value in (*_NO_TEXTS, "x" * 300)),
        *(("sub", value) for value in (*_NO_TEXTS, "x" * 300, "\ud800")),
        *(("name", value) for value in (*_NO_TEXTS, "x" * 300, "\ud800")),
    ]
    for claim, value in changes:
        yield f"claim {claim}: {str(value)[:40]!r} {type(value).__name__}", signed({**good, claim: value}, secret)
    for claim in ("exp", "iat", "iss", "scope"):
        yield f"claim {claim}: missing", signed({name: value for name, value in good.items() if name != claim}, secret)
        yield f"claim {claim}: null", signed({**good, claim: None}, secret)
    content = json.dumps(good)
    for claim in good:
        twice = f'{{"{claim}": {json.dumps(good[claim])}, {content[1:]}'
        yield f"claim {claim}: twice", signed(twice.encode(), secret)
    for raw in (b"", b"null", b"[]", b"7", b'"admin"', b"{", b"{}", b"\xff\xfe", b"[" * 900, content.encode("utf-16")):
        yield f"payload: {raw[:20]!r}", signed(raw, secret)
    yield "payload: in a list", signed(f"[{content}]".encode(), secret)
    yield "payload: two objects", signed((content * 2).encode(), secret)
    yield "payload: single quotes", signed(content.replace('"', "'").encode(), secret)


def _confusions(good: Json, secret: str, key: SigningKey) -> Iterator[tuple[str, str]]:
    """A key taken for a key of another kind (RFC 8725, section 2.1)."""
    public = key.private.public_key()
    forms = {
        "PEM": public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
        "DER": public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo),
        "PKCS1": public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.PKCS1),
        "JWK": json.dumps(key.jwk).encode(),
        "modulus": key.jwk["n"].encode(),
    }
    for name, material in forms.items():
        for key_id in (key.key_id, None):
            header = {"alg": "HS256", **({} if key_id is None else {"kid": key_id})}
            content = f"{_part(header)}.{_part(good)}"
            digest = _encoded(hmac.digest(material, content.encode(), "sha256"))
            yield f"public key as a secret: {name}, kid {key_id}", f"{content}.{digest}"
    yield "our secret with the provider's kid", signed(good, secret, {"alg": "HS256", "kid": key.key_id})
    own = key_id_of(secret)
    yield "provider's key with our kid", jwt.encode(good, key.private, "RS256", headers={"kid": own})
    stranger = SigningKey("RS256", key.key_id)
    yield "a stranger's key with the provider's kid", stranger.sign(**good)
    yield "a stranger's key without a kid", jwt.encode(good, stranger.private, "RS256")
    for name, value in (("jwk", stranger.jwk), ("jku", "https://evil.example/keys"), ("x5u", "https://evil.example/x")):
        yield f"a stranger's key in {name}", stranger.sign({"kid": "stranger", name: value}, **good)


def _provided(claims: Json, key: SigningKey) -> Iterator[tuple[str, str]]:
    """Tokens of the identity provider that are not for us."""
    now = int(time.time())
    audiences: tuple[object, ...] = (None, "elsewhere", ["elsewhere"], [], "", 7, "seance", "SEANCE-TESTS", {})
    expiries: tuple[object, ...] = (None, now - 60, 0, "9999999999", True)
    scopes: tuple[object, ...] = (None, "", "openid profile", ["openid"], 7, {}, [["admin"]], [7], "ADMIN")
    starts: tuple[object, ...] = (now + 60, "0")
    faults: list[Json] = [
        *({"aud": value} for value in audiences),
        *({"iss": value} for value in (None, "seance", "https://id.example/", "https://evil.example")),
        *({"exp": value} for value in expiries),
        *({"nbf": value} for value in starts),
        *({"scope": value} for value in scopes),
        {"sid": OTHER_SESSION},
        {"sid": 7},
    ]
    for fault in faults:
        yield f"provider: {fault}", key.sign(**{**claims, **fault})
    for algorithm in ("RS384", "RS512", "PS256"):
        payload = {"iss": "https://id.example", "aud": "seance-tests", "exp": now + 60, **claims}
        yield f"provider: {algorithm}", jwt.encode(payload, key.private, algorithm, headers={"kid": key.key_id})
    for kind in ("ES256", "EdDSA"):
        yield f"provider: an {kind} key with the kid of an RS256 key", SigningKey(kind, key.key_id).sign(**claims)
