"""Keys: which token speaks for whom, and what it may do. No permission implies another."""

import hashlib
import hmac
import tomllib
from collections.abc import Mapping
from pathlib import Path

import msgspec

from scaiqueue_reference.errors import PermissionDenied, TokenInvalid, TokenMissing
from scaiqueue_reference.message import Actor

VIEW, PUBLISH, CONSUME, MANAGE = "scaiqueue:view", "scaiqueue:publish", "scaiqueue:consume", "scaiqueue:manage"
WEBHOOKS = "webhooks:manage"
PERMISSIONS = (VIEW, PUBLISH, CONSUME, MANAGE, WEBHOOKS)

_DEFAULTS = {
    "all": ("tenant_default", PERMISSIONS),
    "view": ("tenant_default", (VIEW,)),
    "publish": ("tenant_default", (PUBLISH,)),
    "consume": ("tenant_default", (CONSUME,)),
    "manage": ("tenant_default", (MANAGE,)),
    "foreign": ("tenant_foreign", PERMISSIONS),
}


class KeysFileError(ValueError):
    """A keys file cannot be used; the message names the file and the place."""


class Caller(msgspec.Struct, frozen=True):
    """Who calls: an identity in one tenant; `tenant_id` is empty for a key without a tenant."""

    actor: Actor
    tenant_id: str
    permissions: frozenset[str]

    def must_hold(self, permission: str) -> None:
        """Raises PermissionDenied unless the key holds it and belongs to a tenant."""
        if permission not in self.permissions:
            raise PermissionDenied(f"This endpoint asks for {permission}.")
        if not self.tenant_id:
            raise PermissionDenied("This endpoint asks for a key that belongs to a tenant.")


class _KeyRow(msgspec.Struct, forbid_unknown_fields=True):
    token: str
    permissions: list[str]
    tenant: str = ""


class _KeysFile(msgspec.Struct, forbid_unknown_fields=True):
    keys: dict[str, _KeyRow]


_MOST_SEEN = 1_000  # headers of valid keys: one key may be written in several ways


class Keyring:
    """Known keys; a token is kept as its SHA-256 digest only."""

    def __init__(self) -> None:
        self._callers: dict[bytes, Caller] = {}  # by the digest of their token
        self._seen: dict[bytes, Caller] = {}  # by the header of a call that was let in

    def add(self, name: str, token: str, tenant_id: str, permissions: tuple[str, ...]) -> None:
        """Makes `token` speak for the user `usr_<name>`."""
        caller = Caller(Actor("user", f"usr_{name}"), tenant_id, frozenset(permissions))
        self._callers[_digest(token.encode())] = caller

    def authenticate(self, header: bytes | None) -> Caller:
        """The caller behind an Authorization header; raises TokenMissing, TokenInvalid."""
        if header is None or not header.strip():
            raise TokenMissing
        seen = self._seen.get(header)
        if seen is not None:
            return seen
        scheme, _, token = header.partition(b" ")
        caller = self._callers.get(_digest(token.strip())) if scheme.lower() == b"bearer" else None
        if caller is None:
            raise TokenInvalid
        if len(self._seen) < _MOST_SEEN:
            self._seen[header] = caller
        return caller


def default_keys(seed: str) -> Mapping[str, str]:
    """The tokens of the default keys by name: the same for the same seed, which is kept with the database."""
    return {name: "sgk_" + hmac.new(seed.encode(), name.encode(), "sha256").hexdigest() for name in _DEFAULTS}


def default_keyring(tokens: Mapping[str, str]) -> Keyring:
    """A keyring of the default keys."""
    ring = Keyring()
    for name, token in tokens.items():
        tenant_id, permissions = _DEFAULTS[name]
        ring.add(name, token, tenant_id, permissions)
    return ring


def read_keys(path: Path) -> Keyring:
    """A keyring from TOML, `[keys.NAME]` with `token`, `tenant`, `permissions`; raises KeysFileError."""
    try:
        content = msgspec.convert(tomllib.loads(path.read_text("utf-8")), _KeysFile)
    except OSError as error:
        raise KeysFileError(f"{path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise KeysFileError(f"{path} is no keys file: {error}") from error
    ring = Keyring()
    for name, row in content.keys.items():
        permissions = tuple(text if ":" in text else f"scaiqueue:{text}" for text in row.permissions)
        unknown = sorted(set(permissions) - set(PERMISSIONS))
        if unknown:
            raise KeysFileError(
                f"{path}: [keys.{name}] permissions: {unknown[0]!r} is none of {', '.join(PERMISSIONS)}"
            )
        if not row.token:
            raise KeysFileError(f"{path}: [keys.{name}] token is empty")
        ring.add(name, row.token, row.tenant, permissions)
    return ring


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()
