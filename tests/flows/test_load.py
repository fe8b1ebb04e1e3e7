"""The senders of the chaos tests themselves: one that gives up early would call lost what is not."""

from __future__ import annotations

import contextlib
import socket
import threading

from connectors.traps import ber
from tests.flows.load import Informer
from tests.patience import SECONDS


class StoppedInTheMiddle(Informer):
    """Told to stop while it is about to read answers, as happens on a slow machine."""

    def _receive(self) -> None:
        if self.sent:
            self._stop_requested.set()
        super()._receive()


def test_an_informer_that_is_stopped_in_the_middle_of_a_turn_goes_on_until_it_is_answered():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.settimeout(0.05)
        informer = StoppedInTheMiddle(listener.getsockname()[1])

        def answer() -> None:
            seen: set[bytes] = set()
            while informer.is_alive():
                with contextlib.suppress(TimeoutError):
                    data, peer = listener.recvfrom(65535)
                    if data in seen:  # the first of each is lost: only who sends again is answered
                        listener.sendto(ber.response_to(data, ber.parse(data)), peer)
                    seen.add(data)

        informer.start()
        answering = threading.Thread(target=answer)
        answering.start()
        informer.join(SECONDS)
        answering.join(SECONDS)

    assert informer.sent
    assert not informer.unanswered
