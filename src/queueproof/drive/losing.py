"""Loses an answer on purpose: a connection of its own, cut when the status line was read, over http and https alike."""

import asyncio

import httpx

from queueproof.drive.transport import request_bytes

LONGEST_LINE = 65_536


class NotConnectedError(OSError):
    """There was no connection: nothing was sent."""


async def status_alone(request: httpx.Request, *, verify: bool = True) -> int:
    """Sends the request, reads its final status, and cuts the connection; 0 when it ended before a status came.

    Interim answers (1xx) are passed over: they say nothing of what became of the request. Raises NotConnectedError,
    OSError when the connection broke, ValueError for what is no HTTP.
    """
    secure = request.url.scheme == "https"
    host, port = request.url.host, request.url.port or (443 if secure else 80)
    context = httpx.create_ssl_context(verify=verify, trust_env=False) if secure else None
    try:
        reader, writer = await asyncio.open_connection(
            host, port, limit=LONGEST_LINE, ssl=context, server_hostname=host if secure else None
        )
    except OSError as error:
        raise NotConnectedError(str(error)) from error
    try:
        writer.write(request_bytes(request, close=True))
        await writer.drain()
        return await _status(reader)
    finally:
        writer.transport.abort()


async def _status(reader: asyncio.StreamReader) -> int:
    while True:
        line = await reader.readline()
        if not line:
            return 0
        if not line.startswith(b"HTTP/1."):
            raise ValueError("the answer is no HTTP")
        status = int(line.split()[1])
        if status >= 200:
            return status
        while (await reader.readline()).strip():
            pass
