"""What the generator costs, as ratios taken in one run: `python benchmarks/load.py [--seconds S] [--rounds N]`.

One no-op server in a process of its own answers every publish alike; each generator keeps 20 requests under way, makes
a unique body for each and decodes each answer. CPU is this process's own, so a slow or shared server does not matter.
Rows: Locust's FastHttpUser, ours by callback and in greenlets, with and without a history; the price of recording; the
lateness of the dispatcher; wrk where it is installed. Numbers are medians over the rounds; compare ratios only.
"""

import argparse
import asyncio
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

CLIENTS = 20
PATH = "/v1/modules/scaiqueue/scopes/s/queues/q/messages"
ANSWER = (
    b'{"status":"ok","data":{"id":"0193b1c2-7c4f-7aaa-8bbb-0123456789ab","queue_id":"q_0661071035cceb8e888c46f2",'
    b'"scope_id":"sc_0661071035cceb8e888c46f2","state":"pending","attempts":0,"created_at":"2026-01-01T00:00:00Z",'
    b'"labels":{}},"meta":{"request_id":"req_0123456789abcdef"}}'
)


# ── the server ────────────────────────────────────────────────────────────────────────────────────────────────────


class Answering(asyncio.Protocol):
    """Answers every request alike, as soon as its bytes are there."""

    REPLY = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(ANSWER), ANSWER)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        import httptools

        self._transport: Any = transport
        self._parser = httptools.HttpRequestParser(self)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        self._transport.write(self.REPLY)


def serve() -> None:
    import uvloop

    async def forever() -> None:
        server = await asyncio.get_running_loop().create_server(Answering, "127.0.0.1", 0, backlog=4096)
        sys.stdout.write(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}\n")
        sys.stdout.flush()
        await server.serve_forever()

    uvloop.run(forever())


# ── generators: each gives (requests, CPU s, wall s) ──────────────────────────────────────────────────────────────


def fast_http_user(url: str, seconds: float) -> tuple[int, float, float]:
    """Locust's own fast client: a POST with a unique body, its answer decoded."""
    import gevent
    from locust import FastHttpUser, task
    from locust.env import Environment

    class Publisher(FastHttpUser):
        host = url
        number = 0

        @task
        def publish(self) -> None:
            Publisher.number += 1
            body = {
                "qp": f"qp.bench.{Publisher.number}",
                "at": time.monotonic_ns() // 1000,
                "pad": "x" * 128,
                "sum": "0",
            }
            answer = self.client.post(PATH, json={"type": "load.message", "body": body}, name="publish")
            assert answer.json()["data"]["id"]

    environment = Environment(user_classes=[Publisher])
    runner = environment.create_local_runner()
    runner.start(CLIENTS, CLIENTS)
    gevent.sleep(1)
    before = environment.stats.total.num_requests
    cpu_s, wall_s = _spent(lambda: gevent.sleep(seconds))
    requests = environment.stats.total.num_requests - before
    runner.quit()
    return requests, cpu_s, wall_s


def own(url: str, seconds: float, *, greenlets: bool, history: bool) -> tuple[int, float, float]:
    """The load's own producer in Locust's process: body, checksum, digest, histograms, perhaps the history."""
    import gevent
    import locust  # noqa: F401 -- its patches are part of what is measured

    from queueproof.swarm.client import Client
    from queueproof.swarm.flows import Producer
    from queueproof.swarm.health import Health
    from queueproof.swarm.ledger import Ledger
    from queueproof.swarm.measures import Measures
    from queueproof.swarm.scenario import parse
    from queueproof.swarm.sender import Sender

    scenario = parse({"name": "bench", "stages": [{"rate": 1, "duration": 1}]})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "history-1.ndjson" if history else None
        ledger = Ledger(path, run="bench", writer=1, on_failure=lambda: None)
        measures, health = Measures(), Health()
        client = Client(Sender(url, connections=CLIENTS), ledger, measures, case="bench")
        producer = Producer(client, scenario, run="bench", scope="s", queues=("q",))
        numbers = iter(range(1 << 62))
        going = True

        def loop() -> None:
            while going:
                producer.publish_and_wait(next(numbers))

        def more(operation: Any) -> None:
            producer.in_flight -= 1
            client.end(operation)
            if going:
                submit()

        def submit() -> None:
            operation = producer._prepare(next(numbers), time.monotonic_ns())
            if operation is not None:
                producer.in_flight += 1
                operation.done = more
                client.sender.submit(operation)

        for _ in range(CLIENTS):
            if greenlets:
                gevent.spawn(loop)
            else:
                submit()
        gevent.sleep(0.5)
        health.start()  # as every worker does: among other things it sets the collector of garbage
        before = measures.verb("publish").ok
        cpu_s, wall_s = _spent(lambda: gevent.sleep(seconds))
        requests = measures.verb("publish").ok - before
        going = False
        health.stop()
        _back(producer)
        client.sender.close()
        ledger.close()
        assert not client.sender.crashes
    return requests, cpu_s, wall_s


def _back(producer: Any) -> None:
    """Waits until no request is under way."""
    import gevent

    until = time.monotonic() + 2
    while producer.in_flight and time.monotonic() < until:
        gevent.sleep(0.01)


def _spent(wait: Callable[[], Any]) -> tuple[float, float]:
    cpu, wall = time.process_time(), time.perf_counter()
    wait()
    return time.process_time() - cpu, time.perf_counter() - wall


def recording() -> dict[str, float]:
    """µs to record one duration, and one call's three."""
    from queueproof.evidence.latency import Recorder
    from queueproof.swarm.measures import Verb

    number = 300_000
    recorder, verb = Recorder(), Verb()
    loop_us = _each(number, lambda value: None)
    return {
        "one": _each(number, recorder.record) - loop_us,
        "three": _each(number, lambda value: verb.record(0, 1000, value * 1000)) - loop_us,
    }


def _each(number: int, function: Callable[[int], Any]) -> float:
    began = time.perf_counter()
    for value in range(number):
        function(value)
    return (time.perf_counter() - began) / number * 1e6


def lateness(url: str, rate: float, seconds: float) -> dict[str, float]:
    """µs that arrivals were started late while every one of them publishes, and the share of a core it took."""
    import gevent
    import locust  # noqa: F401 -- as above

    from queueproof.evidence.latency import Histogram
    from queueproof.swarm import arrivals
    from queueproof.swarm.client import Client
    from queueproof.swarm.dispatcher import Dispatcher
    from queueproof.swarm.flows import Producer
    from queueproof.swarm.health import Health
    from queueproof.swarm.ledger import Ledger
    from queueproof.swarm.measures import Measures
    from queueproof.swarm.scenario import parse
    from queueproof.swarm.sender import Sender

    scenario = parse({"name": "bench", "stages": [{"rate": 1, "duration": 1}]})
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger(Path(folder) / "history-1.ndjson", run="bench", writer=1, on_failure=lambda: None)
        measures, health = Measures(), Health()
        client = Client(Sender(url, connections=CLIENTS), ledger, measures, case="bench")
        producer = Producer(client, scenario, run="bench", scope="s", queues=("q",))

        def arrive(number: int, intended_ns: int) -> None:
            measures.dispatch.record((time.monotonic_ns() - intended_ns) // 1000)
            producer.publish(number, intended_ns)

        health.start()
        gevent.sleep(0.1)
        schedule = arrivals.share(arrivals.schedule(arrivals.constant(rate, seconds)), index=0, workers=1)
        dispatcher = Dispatcher(schedule, arrive, start_ns=time.monotonic_ns() + 50_000_000)
        dispatcher.start()
        cpu_s, wall_s = _spent(dispatcher.finished.wait)
        _back(producer)
        health.stop()
        client.sender.close()
        ledger.close()
    histogram = Histogram(measures.dispatch.cut())
    return {
        "p50": histogram.percentile(50),
        "p99": histogram.percentile(99),
        "max": histogram.max,
        "core": cpu_s / wall_s,
    }


def wrk(url: str, seconds: float) -> float | None:
    """Requests a second of wrk on one thread, with the same body; None where it is not installed."""
    program = shutil.which("wrk")
    if program is None:
        return None
    script = f'wrk.method="POST" wrk.body=\'{{"type":"load.message","body":{{"pad":"{"x" * 150}"}}}}\''
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        file.write(script)
        file.flush()
        command = [program, "-t1", f"-c{CLIENTS}", f"-d{max(1, int(seconds))}s", "-s", file.name, url + PATH]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return next(float(line.split()[1]) for line in told.splitlines() if line.startswith("Requests/sec"))


# ── the table ─────────────────────────────────────────────────────────────────────────────────────────────────────

ROWS: dict[str, Callable[[str, float], Any]] = {
    "FastHttpUser": fast_http_user,
    "callback": lambda url, s: own(url, s, greenlets=False, history=False),
    "callback, history": lambda url, s: own(url, s, greenlets=False, history=True),
    "greenlets": lambda url, s: own(url, s, greenlets=True, history=False),
    "greenlets, history": lambda url, s: own(url, s, greenlets=True, history=True),
}


def _run(name: str, *arguments: str) -> Any:
    """One generator in a process of its own."""
    command = [sys.executable, __file__, "--only", name, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{name} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def table(url: str, seconds: float, rounds: int) -> Iterator[str]:
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in ROWS}
    for _ in range(rounds):
        for name in ROWS:
            requests, cpu_s, wall_s = _run(name, "--url", url, "--seconds", str(seconds))
            found[name].append((cpu_s / requests * 1e6, requests / wall_s))
    cost = {name: statistics.median(us for us, _ in told) for name, told in found.items()}
    rate = {name: statistics.median(at for _, at in told) for name, told in found.items()}
    base, ceiling = cost["FastHttpUser"], wrk(url, seconds)
    yield f"{'generator':22}{'CPU µs a request':>18}{'÷ FastHttpUser':>16}{'requests/s':>12}{'÷ wrk':>8}"
    for name in ROWS:
        share = f"{rate[name] / ceiling:8.2f}" if ceiling else f"{'-':>8}"
        yield f"{name:22}{cost[name]:18.1f}{base / cost[name]:15.1f}×{rate[name]:12.0f}{share}"
    yield f"history costs {cost['callback, history'] / cost['callback'] - 1:.0%} (callback)"
    yield f"              {cost['greenlets, history'] / cost['greenlets'] - 1:.0%} (greenlets)"
    told = _run("recording")
    yield f"recording: {told['one']:.2f} µs a duration, {told['three']:.2f} µs a call's three"
    for at in (1000, 2000, 10_000):
        late = _run("lateness", "--url", url, "--rate", str(at), "--seconds", str(seconds))
        spread = f"p50 {late['p50']:.0f}, p99 {late['p99']:.0f}, max {late['max']:.0f} µs"
        yield f"lateness at {at:>6}/s: {spread}; {late['core']:.0%} of a core"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", help=argparse.SUPPRESS)
    parser.add_argument("--url", default="", help=argparse.SUPPRESS)
    parser.add_argument("--rate", type=float, default=1000.0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only == "serve":
        serve()
        return
    if options.only:
        ours: dict[str, Callable[[], Any]] = {
            "recording": recording,
            "lateness": lambda: lateness(options.url, options.rate, options.seconds),
        }
        told = ours[options.only]() if options.only in ours else ROWS[options.only](options.url, options.seconds)
        sys.stdout.write(json.dumps(told) + "\n")
        return
    server = subprocess.Popen([sys.executable, __file__, "--only", "serve"], stdout=subprocess.PIPE, text=True)
    try:
        url = server.stdout.readline().strip() if server.stdout else ""
        for line in table(url, options.seconds, options.rounds):
            sys.stdout.write(line + "\n")
            sys.stdout.flush()
    finally:
        server.kill()
        server.wait()


if __name__ == "__main__":
    main()
