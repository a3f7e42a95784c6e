"""Puts the server together from its parts, and takes it down again."""

import os
import secrets
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.types import ASGIApp

from scaiqueue_reference import auth
from scaiqueue_reference.agents import Agents
from scaiqueue_reference.api.agents import AgentHandlers
from scaiqueue_reference.api.documents import DocumentHandlers
from scaiqueue_reference.api.endpoints import Handlers, endpoints
from scaiqueue_reference.api.journal import JournalHandlers
from scaiqueue_reference.api.limits import RateLimits
from scaiqueue_reference.api.messages import MessageHandlers
from scaiqueue_reference.api.metrics import Metrics
from scaiqueue_reference.api.module import ModuleHandlers
from scaiqueue_reference.api.places import PlaceHandlers
from scaiqueue_reference.api.routes import fastapi_app
from scaiqueue_reference.api.service import Service
from scaiqueue_reference.api.shell import HotShell
from scaiqueue_reference.api.webhooks import WebhookHandlers
from scaiqueue_reference.audit import AuditLog
from scaiqueue_reference.broker import Broker
from scaiqueue_reference.clock import Clock
from scaiqueue_reference.module import ModuleGate
from scaiqueue_reference.pending.memory import MemoryPending
from scaiqueue_reference.places import Places
from scaiqueue_reference.settings import Settings
from scaiqueue_reference.store.sqlite import SQLiteStore
from scaiqueue_reference.webhooks import Dispatcher

if TYPE_CHECKING:
    from scaiqueue_reference.pending.redis_windows import RedisWindows

_SQLITE = "sqlite:///"
_TEMPORARY = "scaiqueue-rows-"  # + process id + "-" + a random part


class Server:
    """One process's server: `open` it, serve `app`, `close` it."""

    app: ASGIApp  # after `open`: what is served
    plain: ASGIApp  # after `open`: the same without the hot shell
    keys: Mapping[str, str]  # tokens of the generated default keys by name; empty when a keys file is used

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._temporary: Path | None = None
        self.keys = {}

    async def open(self) -> None:
        """Opens the rows, rebuilds the order, starts the agents; raises ApiError, KeysFileError."""
        self._broker = self._build()
        await self._broker.open()
        keyring = await self._keyring()
        store, clock, settings = self._broker.store, self._broker.clock, self._settings
        self._audit, metrics = AuditLog(store), Metrics()
        places, gate, dispatcher = Places(self._broker), ModuleGate(store, clock), Dispatcher(store, clock)
        handlers = Handlers(
            messages=MessageHandlers(self._broker, places),
            places=PlaceHandlers(places),
            journal=JournalHandlers(store, places, self._audit),
            documents=DocumentHandlers(self._broker.documents, places),
            webhooks=WebhookHandlers(store, clock, dispatcher),
            module=ModuleHandlers(gate),
            agents=AgentHandlers(store),
        )
        self._windows = _shared_windows(settings)
        limits = RateLimits(settings.rate_limit, settings.tenant_rate_limit, settings.rate_window, shared=self._windows)
        largest = settings.largest_body
        service = Service(keyring, metrics, limits, gate, self._audit, now_us=clock.now_us, largest_body=largest)
        table = endpoints(handlers)
        self.plain = fastapi_app(service, table, metrics, store.ping)
        self.app = HotShell(self.plain, service, {endpoint.name: endpoint for endpoint in table})  # type: ignore[assignment]
        self._audit.start()
        self._agents = Agents(self._broker, dispatcher, settings)
        if self._settings.role != "api":
            self._agents.start()

    def _build(self) -> Broker:
        clock, database = Clock(), self._settings.database
        if database is not None and database.startswith("mariadb:"):
            return _stack(database, self._settings.redis, clock)
        return Broker(SQLiteStore(self._file(database), clock), MemoryPending(), clock)

    def _file(self, database: str | None) -> str:
        if database is not None:
            return database.removeprefix(_SQLITE)
        _sweep()
        self._temporary = Path(tempfile.mkdtemp(prefix=f"{_TEMPORARY}{os.getpid()}-"))
        return str(self._temporary / "rows.sqlite3")

    async def _keyring(self) -> auth.Keyring:
        if self._settings.keys_file is not None:
            return auth.read_keys(self._settings.keys_file)
        self.keys = auth.default_keys(await self._broker.store.setting("key_seed", secrets.token_hex(32)))
        return auth.default_keyring(self.keys)

    async def close(self) -> None:
        """Stops the agents, writes what is under way, removes a temporary database."""
        await self._agents.stop()
        await self._audit.stop()
        await self._broker.close()
        if self._windows is not None:
            await self._windows.close()
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)


def _sweep() -> None:
    """Removes the temporary databases of servers that were killed before they could do it themselves."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_TEMPORARY}*"):
        owner = folder.name.removeprefix(_TEMPORARY).partition("-")[0]
        try:
            os.kill(int(owner), 0)
        except ProcessLookupError:
            shutil.rmtree(folder, ignore_errors=True)
        except (ValueError, OSError):  # no folder of ours, or another user's process
            continue


def _shared_windows(settings: Settings) -> "RedisWindows | None":
    """Where all processes count calls together; None without limits or without Redis."""
    if settings.redis is None or not (settings.rate_limit or settings.tenant_rate_limit):
        return None
    from scaiqueue_reference.pending.redis_windows import RedisWindows

    return RedisWindows(settings.redis)


def _stack(database: str, redis_url: str | None, clock: Clock) -> Broker:
    """MariaDB and Redis; their drivers are imported here only, so that the embedded server starts without them."""
    from scaiqueue_reference.pending.absent import AbsentPending
    from scaiqueue_reference.pending.redis import RedisPending
    from scaiqueue_reference.store.mariadb import MariaDBStore

    pending = AbsentPending() if redis_url is None else RedisPending(redis_url, clock.now_us)
    return Broker(MariaDBStore(database, clock), pending, clock, shared=True)
