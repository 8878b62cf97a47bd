"""Who is let in: the mode of authentication, and whether the identity provider's keys can be had."""

from cluster.checks.finding import Finding
from cluster.console.counted import counted
from gateway.access.identity_provider import source_of
from gateway.access.key_set import KeySetError, read_keys
from gateway.access.key_sources import KeySourceError
from gateway.settings import Settings


async def examine(settings: Settings) -> list[Finding]:
    """The mode, and the keys when there is an identity provider."""
    return [mode(settings), *await _keys(settings)]


def mode(settings: Settings) -> Finding:
    """Whom gateways serve without a token."""
    if settings.needs_tokens:
        return Finding("AUTH_MODE", "token: nobody is served without a token")
    said = "open: everybody may create sessions, and a session's id is the key to it"
    if settings.environment == "production":
        said += "; production wants `token`, unless everybody who reaches this address may do so"
    return Finding("AUTH_MODE", said)


async def _keys(settings: Settings) -> list[Finding]:
    source = source_of(settings)
    if source is None:
        return []
    subject, place = ("JWKS_URL", settings.jwks_url) if settings.jwks_url else ("JWKS_FILE", settings.jwks_file)
    try:
        keys = read_keys((await source.fetch()).document)
    except (KeySourceError, KeySetError) as error:
        return [Finding(subject, f"{place}: {error}", "let it answer with a JWK Set, and this machine reach it")]
    finally:
        await source.close()
    algorithms = " ".join(sorted({key.algorithm for key in keys.values()}))
    return [Finding(subject, f"{counted(len(keys), 'key')} for {algorithms} at {place}")]
