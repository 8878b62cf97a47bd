"""Whether a secret can sign tokens: an estimate of its entropy, and where the public default is refused. Pure."""

import math
import string
from collections import Counter

from gateway.settings import is_loopback

LEAST_BITS = 128
REMEDY = "set JWT_SECRET, in `.env` or the environment, to the output of `openssl rand -hex 32`"

_ALPHABETS = (
    *(string.digits, "0123456789abcdef", "0123456789ABCDEF", string.ascii_lowercase, string.ascii_uppercase),
    *(string.ascii_letters, string.ascii_letters + string.digits, string.ascii_letters + string.digits + "-_+/="),
)
_OTHER_CHARACTERS = 95
# Of random text even a short one, such as 32 hexadecimal digits, has this part of the entropy of its alphabet when the
# entropy is estimated from how often each character comes: of 200 000 such texts none had less than 0.7.
_LEAST_EVENNESS = 0.65
# A random text may well end as it begins, but not with so many characters.
_LEAST_REPEATED = 8


def flaw_of(secret: str, *, default: str, environment: str, host: str) -> str | None:
    """Why the secret can't be used here, in words that follow the name of the setting; None: it can.

    Production needs a secret of 128 bits. A gateway that other machines reach needs one that is not public, also in
    development.
    """
    if secret == default and environment == "production":
        return "the default is public; production needs its own"
    if secret == default and not is_loopback(host):
        return f"the default is public, and HOST={host} lets other machines in; only loopback addresses may have it"
    bits = entropy_bits(secret)
    if environment == "production" and bits < LEAST_BITS:
        return (
            f"about {bits:.0f} bits of entropy, and production needs {LEAST_BITS}: repetitions count once, and "
            "characters that come more often than others count less"
        )
    return None


def entropy_bits(secret: str) -> float:
    """An upper estimate: what the characters could tell if they were random.

    A repeated part counts once. Even text counts as random text of its alphabet (4 bits for each hexadecimal digit);
    uneven text by Shannon's formula, from how often each character comes. Nobody can see that words are no random text.
    """
    text = _without_repetition(secret)
    if not text:
        return 0.0
    size = min((len(letters) for letters in _ALPHABETS if set(text) <= set(letters)), default=_OTHER_CHARACTERS)
    per_character = sum(count / len(text) * math.log2(len(text) / count) for count in Counter(text).values())
    if per_character >= _LEAST_EVENNESS * math.log2(min(size, max(len(text), 2))):
        per_character = math.log2(size)
    return len(text) * per_character


def _without_repetition(text: str) -> str:
    """The shortest part that makes the whole text when it is repeated; the last repetition may be cut off."""
    periods = range(1, len(text) - _LEAST_REPEATED + 1)
    return next((text[:period] for period in periods if text[period:] == text[:-period]), text)
