"""`python -m sandbox`: a Vault and a Nextcloud on loopback until Ctrl-C or SIGTERM.

Prints the addresses and logins as `export` lines. `eval` them, and the daemons run against these two servers.
"""

import signal
import sys

from sandbox.nextcloud import Nextcloud
from sandbox.seed import exports, seed
from sandbox.vault import Vault


def main() -> None:
    """Serve until told to stop."""
    stops = {signal.SIGINT, signal.SIGTERM}
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        stops.add(signal.SIGHUP)
    # Blocked in all threads, so that only the wait below receives them and the servers are always cleaned up.
    signal.pthread_sigmask(signal.SIG_BLOCK, stops)
    with Vault() as vault, Nextcloud() as nextcloud:
        seed(vault, nextcloud)
        sys.stdout.write(exports(vault, nextcloud))
        sys.stdout.flush()
        signal.sigwait(stops)


if __name__ == "__main__":
    main()
