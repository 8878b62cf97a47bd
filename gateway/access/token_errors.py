"""Why a token is refused."""


class TokenError(Exception):
    """The token proves nothing or does not allow the request; each subclass names one cause."""


class TokenMalformedError(TokenError):
    """The token is no JWT, or its claims are not those of an access token. Use the token as it was issued."""


class TokenSignatureError(TokenError):
    """The token was signed with a key or an algorithm that this installation does not know."""


class TokenExpiredError(TokenError):
    """The token has expired. Get a new token."""


class TokenRevokedError(TokenError):
    """The token was revoked. Get a new token."""


class TokenScopeError(TokenError):
    """The token is genuine, but its scope does not allow the request."""


class TokenSessionError(TokenError):
    """The token is genuine, but bound to another session."""


class KeysUnavailableError(Exception):
    """The token can't be checked: the identity provider's keys, or the revocations, can't be had now. Retry later."""
