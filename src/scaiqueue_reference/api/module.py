"""Handlers of the module's gate."""

from scaiqueue_reference.api.call import Call, Result
from scaiqueue_reference.module import ModuleGate


class ModuleHandlers:
    """Each method answers one endpoint; these two answer also while the gate is closed."""

    def __init__(self, gate: ModuleGate) -> None:
        self._gate = gate

    async def enable(self, call: Call) -> Result:
        """The module's state for the tenant."""
        await self._gate.move(call.tenant, enabled=True)
        return Result({"module_id": "scaiqueue", "enabled": True})

    async def disable(self, call: Call) -> Result:
        """The module's state for the tenant."""
        await self._gate.move(call.tenant, enabled=False)
        return Result({"module_id": "scaiqueue", "enabled": False})
