"""How a server ends a connection whose client it no longer listens to."""

import asyncio


def hang_up(transport: asyncio.Transport) -> None:
    """Let the client see the end of the stream, after everything written so far.

    Where it can, only our direction is shut, and the client's bytes are read on: closing with bytes unread would reset
    the connection, and take the close frame along. TLS knows no half-closed connections; there it is closed.
    """
    if transport.can_write_eof():
        transport.write_eof()
    else:
        transport.close()
