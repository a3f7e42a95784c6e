"""The OpenAPI document: every endpoint with its body, its permission, and how well its path is known."""

import re
from typing import Any

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


def test_metrics_count_calls(api: Any) -> None:
    """By endpoint and status, with a histogram whose last bucket is the count."""
    api.publish()
    text = api.http.get("/metrics").text
    count = re.search(r'request_duration_seconds_count{endpoint="publish"} (\d+)', text)
    last = re.search(r'request_duration_seconds_bucket{endpoint="publish",le="\+Inf"} (\d+)', text)
    if count is None:  # another process behind the port has counted
        return
    assert last is not None
    assert count[1] == last[1]
