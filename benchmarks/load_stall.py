"""Whether a stalled server shows: frozen for 1 s in 10 s at 200/s, at two phases: `python benchmarks/load_stall.py`.

The truth for an open load: 2,000 requests, a tenth of them up to a second late, evenly: p95 near 500 ms, p99 near
900 ms. With eight connections the service time shows what a tool would say that does not count the queue before them.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

RATE, SECONDS, FREEZE_S = 200, 10.0, 1.0


def stall(url: str, pid: int, phase_s: float, connections: int) -> dict[str, Any]:
    """p95 and p99 in ms of response and service time, and how many requests there were."""
    import gevent

    from queueproof.evidence.latency import Histogram
    from queueproof.swarm import arrivals
    from queueproof.swarm.client import Client
    from queueproof.swarm.dispatcher import Dispatcher
    from queueproof.swarm.flows import Producer
    from queueproof.swarm.ledger import Ledger
    from queueproof.swarm.measures import Measures
    from queueproof.swarm.scenario import parse
    from queueproof.swarm.sender import Sender

    scenario = parse({"name": "stall", "stages": [{"rate": RATE, "duration": SECONDS}]})
    measures = Measures()
    ledger = Ledger(None, run="stall", writer=1, on_failure=lambda: None)
    client = Client(Sender(url, connections=connections), ledger, measures, case="stall")
    producer = Producer(client, scenario, run="stall", scope="s", queues=("q",))
    schedule = arrivals.share(arrivals.schedule(scenario.stages), index=0, workers=1)
    dispatcher = Dispatcher(schedule, producer.publish, start_ns=time.monotonic_ns() + 50_000_000)
    dispatcher.start()
    gevent.spawn_later(0.05 + phase_s, os.kill, pid, signal.SIGSTOP)
    gevent.spawn_later(0.05 + phase_s + FREEZE_S, os.kill, pid, signal.SIGCONT)
    dispatcher.finished.wait()
    while producer.in_flight:
        gevent.sleep(0.01)
    client.sender.close()
    verb = measures.verb("publish")
    told: dict[str, Any] = {"n": verb.ok}
    for kind, recorder in (("response", verb.response), ("service", verb.service)):
        histogram = Histogram(recorder.cut())
        told[kind] = [round(histogram.percentile(at) / 1000) for at in (95, 99)]
    return told


def main() -> None:
    command = [sys.executable, str(Path(__file__).with_name("load.py")), "--only", "serve"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        url = server.stdout.readline().strip() if server.stdout else ""
        for connections in (512, 8):
            for phase_s in (3.0, 5.37):
                told = stall(url, server.pid, phase_s, connections)
                sys.stdout.write(
                    f"frozen at {phase_s:g} s, {connections:>3} connections: n {told['n']}, "
                    f"response p95 {told['response'][0]} p99 {told['response'][1]} ms, "
                    f"service p95 {told['service'][0]} p99 {told['service'][1]} ms\n"
                )
                sys.stdout.flush()
    finally:
        server.kill()
        server.wait()


if __name__ == "__main__":
    main()
