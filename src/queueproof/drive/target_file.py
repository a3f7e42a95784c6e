"""A target in a file that may be committed: its address and what it declares to have, and never a key.

url = "https://queue.staging.example"
capabilities = ["extend", "release", "dead-letter"]
"""

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from queueproof.contract.capabilities import declared
from queueproof.drive.target import base_url
from queueproof.errors import UsageError

_MEMBERS: Final = ("url", "capabilities")
_SECRET: Final = re.compile(r"key|token|secret|password", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class TargetFile:
    """`url`: "" where the file names none; `capabilities`: as for `--require`."""

    url: str = ""
    capabilities: tuple[str, ...] = ()


def read_target_file(path: Path | None) -> TargetFile:
    """The target that the file describes; an empty one without a file. Raises UsageError, naming what is wrong."""
    if path is None:
        return TargetFile()
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(
            f"--target-file {path} cannot be read: {error.strerror or error}", hint="name a file"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"--target-file {path} is no TOML: {error}", hint="mend it at that line") from error
    for name in found:
        if _SECRET.search(name):
            raise UsageError(
                f"--target-file {path} holds a {name}", hint="keys belong in the environment: SCAIGRID_API_KEY"
            )
        if name not in _MEMBERS:
            raise UsageError(
                f"--target-file {path}: there is no member {name}", hint=f"it may hold {' and '.join(_MEMBERS)}"
            )
    url, names = found.get("url", ""), found.get("capabilities", [])
    if not isinstance(url, str) or not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise UsageError(
            f"--target-file {path} is not understood", hint='write url = "http://…" and capabilities = ["extend", …]'
        )
    return TargetFile(url=base_url(url) if url else "", capabilities=declared(names))
