"""When a daemon behind a proxy is to be killed."""

import threading

from tests.faults.preloaded import Child
from tests.faults.proxy import Fault, Hold, Request


class HoldNth:
    """Holds the n-th request from now on."""

    def __init__(self, n: int, *, after: bool) -> None:
        self._left = n
        self._hold = Hold(after=after)

    def __call__(self, _request: Request) -> Fault | None:
        self._left -= 1
        return self._hold if self._left == 0 else None

    @property
    def request(self) -> Request | None:
        """What is held."""
        return self._hold.request

    def kill(self, daemon: Child) -> bool:
        """Kill the daemon while its request is held; False if it ended before it sent so many."""
        ended = threading.Thread(target=daemon.wait)
        ended.start()
        while ended.is_alive() and not self._hold.wait(0.01):
            pass
        if not ended.is_alive():
            return False
        daemon.kill()
        ended.join()
        self._hold.drop()
        return True


class After:
    """Tells when the n-th request from now on has come."""

    def __init__(self, n: int) -> None:
        self._left = n
        self.come = threading.Event()

    def __call__(self, _request: Request) -> Fault | None:
        self._left -= 1
        if self._left <= 0:
            self.come.set()
        return None
