"""The FastAPI application: every endpoint of the table, health and metrics, OpenAPI, errors in the envelope."""

import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec
from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, PlainTextResponse

from scaiqueue_reference.api.call import Reply, failure, request_id
from scaiqueue_reference.api.endpoints import INFERRED, Endpoint
from scaiqueue_reference.api.metrics import Metrics
from scaiqueue_reference.api.paging import LARGEST_PAGE
from scaiqueue_reference.api.service import Service
from scaiqueue_reference.errors import ApiError
from scaiqueue_reference.lifecycle import State

# What lists take in their query; `limit` is documented for a queue's messages, `correlation_id` for messages and audit.
_PAGE = ("limit", "cursor")
_QUERIES = {
    "list_scopes": _PAGE,
    "list_queues": _PAGE,
    "list_queue_messages": (*_PAGE, "correlation_id", "state"),
    "list_scope_messages": (*_PAGE, "correlation_id", "state"),
    "audit": (*_PAGE, "event_type", "actor_id", "correlation_id"),
    "events": (*_PAGE, "event_type"),
    "list_deliveries": ("limit", "status"),
}
_QUERY_SCHEMAS: dict[str, dict[str, Any]] = {
    "limit": {"type": "integer", "minimum": 1, "maximum": LARGEST_PAGE},
    "state": {"enum": list(State)},
    "status": {"enum": ["success", "failed", "pending"]},
}

_SCHEMAS = "#/components/schemas/{name}"


def fastapi_app(
    service: Service, table: Sequence[Endpoint], metrics: Metrics, ping: Callable[[], Awaitable[None]]
) -> FastAPI:
    """The application; each route is `service.answer` for its endpoint, and `ping` raises while it is not ready."""
    app = FastAPI(title="ScaiQueue reference server", redirect_slashes=False, docs_url=None, redoc_url=None)
    shapes = [endpoint.shape for endpoint in table if endpoint.shape is not None]
    schemas, components = msgspec.json.schema_components(shapes, ref_template=_SCHEMAS)
    publish = components["PublishRequest"]  # what its fields cannot say: a null body is one, an absent one is none
    publish |= {"required": ["body"], "anyOf": [{"required": ["type"]}, {"required": ["message_type"]}]}
    by_shape = dict(zip(shapes, schemas, strict=True))
    for endpoint in table:
        app.add_api_route(
            endpoint.path,
            _route(service, endpoint),
            methods=[endpoint.method],
            name=endpoint.name,
            operation_id=endpoint.name,
            summary=endpoint.name.replace("_", " "),
            description=_description(endpoint),
            openapi_extra=_openapi(endpoint, by_shape),
        )
    app.add_api_route("/health", _health, methods=["GET"], summary="liveness; needs no key")
    app.add_api_route("/health/ready", _ready(ping), methods=["GET"], summary="readiness; needs no key")
    app.add_api_route("/metrics", _metrics(metrics), methods=["GET"], summary="Prometheus; needs no key")
    app.add_exception_handler(HTTPException, _http_error)
    _add_components(app, components)
    return app


def _route(service: Service, endpoint: Endpoint) -> Callable[[Request], Awaitable[Response]]:
    fixed = dict(endpoint.fixed)

    async def route(request: Request) -> Response:
        params = {**request.path_params, **fixed}
        return _response(await service.answer(endpoint, params, request.scope, request.receive))  # type: ignore[arg-type]

    return route


def _response(reply: Reply) -> Response:
    response = Response(reply.body, reply.status)
    response.raw_headers = list(reply.headers)
    return response


def _description(endpoint: Endpoint) -> str:
    known = "INFERRED: no page that was read shows this path." if endpoint.inferred else "Documented."
    note = INFERRED.get(endpoint.name.removesuffix("_short"), "")
    more = f" INFERRED: {note}" if note else ""
    return f"{(endpoint.handler.__doc__ or '').strip()} Asks for `{endpoint.permission}`. {known}{more}"


def _openapi(endpoint: Endpoint, schemas: dict[type[Any], dict[str, Any]]) -> dict[str, Any]:
    names = re.findall(r"{(\w+)(?::path)?}", endpoint.path)
    extra: dict[str, Any] = {
        "parameters": [{"name": n, "in": "path", "required": True, "schema": {"type": "string"}} for n in names]
    }
    extra["parameters"] += [
        {"name": n, "in": "query", "required": False, "schema": _QUERY_SCHEMAS.get(n, {"type": "string"})}
        for n in _QUERIES.get(endpoint.name.removesuffix("_short"), ())
    ]
    if endpoint.shape is not None:
        extra["requestBody"] = {"content": {"application/json": {"schema": schemas[endpoint.shape]}}}
    return extra


def _add_components(app: FastAPI, components: dict[str, Any]) -> None:
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        document = plain()
        document.setdefault("components", {}).setdefault("schemas", {}).update(components)
        return document

    app.openapi = openapi  # type: ignore[method-assign]


async def _health() -> dict[str, str]:
    return {"status": "ok"}


def _ready(ping: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[Response]]:
    async def ready() -> Response:
        try:
            await ping()
        except ApiError as error:
            return _response(failure(error, request_id()))
        return JSONResponse({"status": "ok"})

    return ready


def _metrics(metrics: Metrics) -> Callable[[], Awaitable[Response]]:
    async def render() -> Response:
        return PlainTextResponse(metrics.render(), media_type="text/plain; version=0.0.4")

    return render


async def _http_error(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    known = {404: ("NOT_FOUND", "There is no such path."), 405: ("METHOD_NOT_ALLOWED", "Not with this method.")}
    answer = ApiError(known.get(status, ("HTTP_ERROR", ""))[1])
    answer.status, answer.code = status, known.get(status, ("HTTP_ERROR", ""))[0]
    response = _response(failure(answer, request_id()))
    if isinstance(error, HTTPException) and error.headers:
        response.headers.update(error.headers)
    return response
