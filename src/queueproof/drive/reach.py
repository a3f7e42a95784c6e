"""The way to a target, one step after the other: its name, its port, its certificate."""

import asyncio
import contextlib
import socket
import ssl
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import httpx

from queueproof.errors import TargetError
from queueproof.evidence.checkup import Line, Sign

WITHIN_S = 5.0
# A certificate that ends sooner is worth a word.
SOON_DAYS = 14


async def reach(url: str) -> list[Line]:
    """DNS, TCP and (for https) TLS, each with its time. Raises UnreachedError with what was seen until then."""
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    host, port = parts.hostname or "", parts.port or (443 if secure else 80)
    lines: list[Line] = []
    try:
        addresses = await _names(host, port, lines)
        await _port(host, port, addresses, lines)
        if secure:
            await _certificate(host, port, lines)
    except _StepError as failed:
        lines.append(Line(area=AREA, name=failed.step, sign=Sign.BAD, said=failed.said, advice=failed.advice))
        raise UnreachedError(lines, failed) from failed
    return lines


class UnreachedError(TargetError):
    """There is no way to the target; `lines`: how far it went."""

    def __init__(self, lines: list[Line], failed: "_StepError") -> None:
        super().__init__(failed.said, hint=failed.advice)
        self.lines = lines


class _StepError(Exception):
    """A step that led nowhere."""

    def __init__(self, step: str, said: str, advice: str) -> None:
        super().__init__(said)
        self.step, self.said, self.advice = step, said, advice


async def _names(host: str, port: int, lines: list[Line]) -> list[str]:
    begun = time.monotonic()
    try:
        async with asyncio.timeout(WITHIN_S):
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except TimeoutError as error:
        raise _StepError("DNS", f"no answer about {host} within {WITHIN_S:g} s", "is the name server there?") from error
    except (OSError, UnicodeError) as error:
        raise _StepError("DNS", f"{host} is not known here", "is the host's name right?") from error
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    if addresses != [host]:  # a name, not an address already
        lines.append(_good("DNS", f"{host} is {', '.join(addresses[:4])}", begun, addresses=addresses))
    return addresses


async def _port(host: str, port: int, addresses: list[str], lines: list[Line]) -> None:
    begun = time.monotonic()
    try:
        async with _connected(host, port):
            lines.append(_good("TCP", f"port {port} is open", begun, port=port))
    except TimeoutError as error:
        said = f"port {port} of {addresses[0]} does not answer within {WITHIN_S:g} s"
        raise _StepError("TCP", said, "is a firewall in between, or the host down?") from error
    except OSError as error:
        said = f"port {port} of {addresses[0]} is closed ({error.strerror or error})"
        raise _StepError("TCP", said, "is the server running, and is the port right?") from error


async def _certificate(host: str, port: int, lines: list[Line]) -> None:
    begun = time.monotonic()
    context = httpx.create_ssl_context(trust_env=False)  # the one that the client will use
    try:
        async with _connected(host, port, ssl=context, server_hostname=host) as writer:
            layer = writer.get_extra_info("ssl_object")
            version, days = layer.version(), _days_left(layer.getpeercert())
    except TimeoutError as error:
        said = f"no TLS handshake within {WITHIN_S:g} s"
        raise _StepError("TLS", said, "does this port speak https at all?") from error
    except ssl.SSLCertVerificationError as error:
        said = f"the certificate is not trusted: {error.verify_message}"
        raise _StepError("TLS", said, "give the name that the certificate is for, or renew it") from error
    except (ssl.SSLError, OSError) as error:
        said = f"no TLS here ({getattr(error, 'reason', None) or error})"
        raise _StepError("TLS", said, "does this port speak http instead of https?") from error
    said = f"{version}, certificate good for {days} days" if days is not None else str(version)
    line = _good("TLS", said, begun, version=version, days_left=days)
    if days is not None and days < SOON_DAYS:
        line = Line(area=AREA, name="TLS", sign=Sign.ODD, said=line.said, value=line.value, advice="renew it soon")
    lines.append(line)


@contextlib.asynccontextmanager
async def _connected(host: str, port: int, **options: Any) -> AsyncIterator[asyncio.StreamWriter]:
    async with asyncio.timeout(WITHIN_S):
        _, writer = await asyncio.open_connection(host, port, **options)
    try:
        yield writer
    finally:
        writer.transport.abort()


def _days_left(certificate: dict[str, Any] | None) -> int | None:
    ends = (certificate or {}).get("notAfter")
    if not ends:
        return None
    return int((ssl.cert_time_to_seconds(ends) - datetime.now(UTC).timestamp()) // 86_400)


def _good(name: str, said: str, begun: float, **value: Any) -> Line:
    took_ms = (time.monotonic() - begun) * 1e3
    value["ms"] = round(took_ms, 1)
    return Line(area=AREA, name=name, sign=Sign.GOOD, said=f"{said} ({took_ms:.0f} ms)", value=value)


AREA = "reach"
