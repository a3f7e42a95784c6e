"""What the API answers when it cannot do what was asked: a status, a stable code and one sentence.

ApiError
├── Disconnected                         400
├── TokenMissing, TokenInvalid           401
├── PermissionDenied, ModuleNotEnabled   403
├── NotFound                             404
├── WrongState, NotOwner, SystemQueue,   409
│   SlugTaken, ScopePaused, QueuePaused,
│   QueueFull, IdempotencyConflict
├── PayloadTooLarge                      413
├── UnsupportedMediaType                 415
├── Invalid                              422   `details` names the fields
├── RateLimited                          429   `retry_after` in seconds
└── Unavailable                          503   the rows cannot be reached; what was asked may have happened
"""

# ruff: noqa: N818 -- these are answers of the API, named as its codes are

from collections.abc import Sequence


class ApiError(Exception):
    """An answer with status 4xx or 5xx; the docstring of each class is its default sentence."""

    status = 500
    code = "INTERNAL_ERROR"

    def __init__(
        self,
        message: str = "",
        *,
        details: Sequence[tuple[str, str]] = (),
        retry_after: int | None = None,
        headers: tuple[tuple[bytes, bytes], ...] = (),
    ) -> None:
        super().__init__(message or type(self).__doc__ or self.code)
        self.message = str(self)
        self.details = tuple(details)
        self.retry_after = retry_after
        self.headers = headers


class Disconnected(ApiError):
    """The client went away before its request was complete."""

    status, code = 400, "REQUEST_INCOMPLETE"


class TokenMissing(ApiError):
    """Send an Authorization header: Bearer sgk_…"""

    status, code = 401, "AUTH_TOKEN_MISSING"


class TokenInvalid(ApiError):
    """The token is not known, or was revoked."""

    status, code = 401, "AUTH_TOKEN_INVALID"


class PermissionDenied(ApiError):
    """The key does not hold the permission that this endpoint asks for."""

    status, code = 403, "AUTHZ_PERMISSION_DENIED"


class ModuleNotEnabled(ApiError):
    """The module is disabled for this tenant; its data is kept."""

    status, code = 403, "MODULE_NOT_ENABLED"


class NotFound(ApiError):
    """There is no such resource."""

    status, code = 404, "NOT_FOUND"

    def __init__(self, kind: str, name: str) -> None:
        super().__init__(f"There is no {kind} {name!r} here.")
        self.code = f"SCAIQUEUE_{kind.upper()}_NOT_FOUND"


class WrongState(ApiError):
    """The resource is in a state that does not allow this."""

    status, code = 409, "SCAIQUEUE_INVALID_STATE"


class NotOwner(ApiError):
    """The message is claimed by somebody else."""

    status, code = 409, "SCAIQUEUE_NOT_CLAIM_OWNER"


class SystemQueue(ApiError):
    """A system queue cannot be published to, changed or deleted."""

    status, code = 409, "SCAIQUEUE_SYSTEM_QUEUE"


class SlugTaken(ApiError):
    """The slug is taken."""

    status, code = 409, "SLUG_CONFLICT"


class ScopePaused(ApiError):
    """The scope does not accept messages."""

    status, code = 409, "SCAIQUEUE_SCOPE_PAUSED"


class QueuePaused(ApiError):
    """The queue does not accept messages."""

    status, code = 409, "SCAIQUEUE_QUEUE_PAUSED"


class QueueFull(ApiError):
    """The queue holds max_depth messages; consume some, or raise max_depth."""

    status, code = 409, "SCAIQUEUE_QUEUE_FULL"


class IdempotencyConflict(ApiError):
    """The idempotency_key was used with another body; send the same body, or a fresh key."""

    status, code = 409, "SCAIQUEUE_IDEMPOTENCY_CONFLICT"


class PayloadTooLarge(ApiError):
    """The request body is larger than this server accepts."""

    status, code = 413, "PAYLOAD_TOO_LARGE"


class UnsupportedMediaType(ApiError):
    """Send the request body as application/json."""

    status, code = 415, "UNSUPPORTED_MEDIA_TYPE"


class Invalid(ApiError):
    """The request is not valid."""

    status, code = 422, "VALIDATION_ERROR"

    def __init__(self, *details: tuple[str, str]) -> None:
        super().__init__("; ".join(f"{field}: {why}" for field, why in details), details=details)


class RateLimited(ApiError):
    """Too many requests; wait for retry_after seconds."""

    status, code = 429, "RATE_LIMITED"


class Unavailable(ApiError):
    """The rows cannot be reached for the moment. Try again: a publish with its idempotency_key, others after a read."""

    status, code = 503, "SERVICE_UNAVAILABLE"
