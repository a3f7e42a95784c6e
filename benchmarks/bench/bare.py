"""The barest ASGI application on the reference server's own web server: the floor's H."""

import asyncio
import json
import socket
import sys
from typing import Any

import uvicorn
import uvloop

_BODY = b"x" * 441
_HEADERS = [(b"content-type", b"application/json"), (b"content-length", b"441")]


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
    await send({"type": "http.response.body", "body": _BODY})


def main() -> None:
    listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
    sys.stdout.write(json.dumps({"url": f"http://127.0.0.1:{listener.getsockname()[1]}"}) + "\n")
    sys.stdout.flush()
    options: dict[str, Any] = {"http": "httptools", "ws": "none", "lifespan": "off", "log_config": None}
    options |= {"access_log": False, "server_header": False, "date_header": False, "proxy_headers": False}
    server = uvicorn.Server(uvicorn.Config(app, **options))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(server.serve(sockets=[listener]))


if __name__ == "__main__":
    main()
