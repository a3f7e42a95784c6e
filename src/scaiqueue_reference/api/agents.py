"""Handler of the call about the server's own agents."""

from scaiqueue_reference.api.call import Call, Result
from scaiqueue_reference.api.views import moment
from scaiqueue_reference.message import AgentStatus
from scaiqueue_reference.store import Store


class AgentHandlers:
    """Each method answers one endpoint."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def list_all(self, call: Call) -> Result:
        """The system agents: how often each looks, when it did last, what it has done since its process started."""
        return Result([_view(status) for status in await self._store.records(AgentStatus)], paged=True)


def _view(status: AgentStatus) -> dict[str, object]:
    return {
        "name": status.id,
        "every_s": status.every_s,
        "last_pass_at": moment(status.last_us) if status.last_us else None,
        "passes": status.passes,
        "done": status.done,
        "error": status.error or None,
    }
