"""A server may close a kept connection at any time: as few requests as possible meet that, and none is sent twice."""

import socket
import struct
from typing import Any

import gevent
import pytest
from sender_peers import OK, ask, read_request, sending, serving

from queueproof.swarm import sender as sender_module

CALLS = 60


class Closing:
    """Closes each connection right after every third answer, without a word of it; `hard`: with a reset."""

    def __init__(self, *, hard: bool = False, after_s: float = 0.0) -> None:
        self.hard, self.after_s = hard, after_s
        self.requests = 0

    def __call__(self, peer: Any, _: Any) -> None:
        for _ in range(3):
            if not read_request(peer):
                return
            self.requests += 1
            peer.sendall(OK)
        gevent.sleep(self.after_s)  # what comes meanwhile finds nobody
        if self.hard:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()


@pytest.mark.parametrize("hard", [False, True], ids=["end", "reset"])
def test_a_server_that_closes_right_after_an_answer_costs_few_requests(hard: bool) -> None:
    """Without rest every fourth request meets the end of its connection."""
    server = Closing(hard=hard, after_s=0.001)
    with serving(server) as at, sending(f"http://{at}") as sender:
        calls = [ask(sender) for _ in range(CALLS)]
    failed = [call for call in calls if call.failure]
    assert len(failed) <= sender_module.CLOSINGS + 3  # a machine that stands still may cost some more
    assert all(call.reached for call in failed)
    assert server.requests == CALLS - len(failed)  # what failed was not sent again


def test_at_the_cap_a_connection_that_has_not_rested_is_used() -> None:
    with (
        serving(Closing(after_s=0.001)) as at,
        sending(f"http://{at}", connections=1) as sender,
    ):
        calls = [ask(sender) for _ in range(CALLS)]
        assert len(sender._all) <= 1
    assert sum(call.status == 200 for call in calls) >= CALLS // 2
    assert all(call.status == 200 or call.failure for call in calls)


def test_one_closing_changes_nothing() -> None:
    """Its connections are used again at once."""
    met = iter([True])

    def handle(peer: Any, _: Any) -> None:
        while read_request(peer):
            peer.sendall(OK)
            if next(met, False):
                gevent.sleep(0.001)
                return

    with serving(handle) as at, sending(f"http://{at}") as sender:
        calls = [ask(sender) for _ in range(CALLS)]
        assert sum(bool(call.failure) for call in calls) == 1
        assert sender.opened == 2
