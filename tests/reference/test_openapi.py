"""The OpenAPI document: every endpoint with its body, its permission, and how well its path is known."""

import re
from typing import Any

import httpx

BASE = "/v1/modules/scaiqueue"


def test_every_operation_says_what_it_asks_for_and_how_well_it_is_known(api: Any) -> None:
    """Operation ids are unique; path parameters and bodies are described; references lead somewhere."""
    document = api.http.get("/openapi.json").json()
    operations = {
        (method, path): operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if not path.startswith(("/health", "/metrics"))
    }
    ids = [operation["operationId"] for operation in operations.values()]
    assert len(ids) == len(set(ids)) > 50
    for (_, path), operation in operations.items():
        assert re.search(r"Asks for `\w+:\w+`\. (Documented|INFERRED)", operation["description"])
        names = [parameter["name"] for parameter in operation.get("parameters", []) if parameter["in"] == "path"]
        assert sorted(names) == sorted(re.findall(r"{(\w+)}", path))
    publish = operations["post", f"{BASE}/scopes/{{scope_id}}/queues/{{queue_id}}/messages"]
    assert "Documented" in publish["description"]
    assert "INFERRED" in operations["post", f"{BASE}/scopes/{{scope_id}}/messages/{{message_id}}/fail"]["description"]
    shape = publish["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
    assert "idempotency_key" in document["components"]["schemas"][shape]["properties"]
    text = api.http.get("/openapi.json").text
    for name in set(re.findall(r'"#/components/schemas/(\w+)"', text)):
        assert name in document["components"]["schemas"]


def _counted(text: str, line: str) -> int:
    found = re.search(rf"^{re.escape(line)} (\d+)$", text, re.MULTILINE)
    return int(found[1]) if found else 0


def _port(response: httpx.Response) -> int:
    return int(response.extensions["network_stream"].get_extra_info("client_addr")[1])


def test_metrics_count_calls(api: Any) -> None:
    """By endpoint and status, with a histogram whose last bucket is the count; a process counts its own."""
    for _ in range(20):
        before = api.http.get("/metrics")
        made = [api.try_publish(), api.try_publish(type=7)]
        after = api.http.get("/metrics")
        if len({_port(response) for response in (before, *made, after)}) == 1:  # one connection: one process
            break
    assert [response.status_code for response in made] == [201, 422]
    name = "scaiqueue_request_duration_seconds"
    for line, more in (
        ('scaiqueue_requests_total{endpoint="publish",status="201"}', 1),
        ('scaiqueue_requests_total{endpoint="publish",status="422"}', 1),
        (f'{name}_count{{endpoint="publish"}}', 2),
        (f'{name}_bucket{{endpoint="publish",le="+Inf"}}', 2),
    ):
        assert _counted(after.text, line) - _counted(before.text, line) == more, line
