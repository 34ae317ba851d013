"""The options of `--dask`, checked without importing Dask."""

import contextlib
import ipaddress
import urllib.parse
from dataclasses import dataclass

from shared.errors import InvalidSettings


@dataclass(frozen=True)
class ClusterOptions:
    """The options of the command line.

    Attributes:
        dask: the address: `tcp://…`, `tls://…`, `local`, `gateway` or `gateway:NAME`.
        in_flight: images; None for twice the cluster's threads.
        dask_requests: to the image server at once, from the cluster and the daemon together.
        dask_timeout: seconds that a worker may take for an image.
        dask_insecure: the password may travel unencrypted.
        dask_fallback: upscale in this process while the cluster is unavailable.
        max_memory: bytes for a worker process; None for what it finds.
        start_method: of the processes of `local`, from `local_workers.prepare`.
    """

    dask: str
    in_flight: int | None
    dask_requests: int
    dask_timeout: float
    dask_insecure: bool
    dask_fallback: bool
    max_memory: int | None
    start_method: str = ""

    @property
    def is_local(self) -> bool:
        """Whether this daemon starts the cluster, with processes on this machine."""
        return self.dask == "local"


def check_address(address: str, *, insecure: bool) -> None:
    """Check the address of --dask.

    Raises:
        InvalidSettings: it is none, or the password would travel over it unencrypted.
    """
    if address in ("local", "gateway") or (address.startswith("gateway:") and address != "gateway:"):
        return
    url = urllib.parse.urlsplit(address)
    try:
        valid = address.startswith(("tcp://", "tls://")) and url.hostname and url.port and "@" not in url.netloc
    except ValueError:
        valid = False
    if not valid:
        raise InvalidSettings(
            "--dask is not the address of a Dask cluster",
            "Use tcp://HOST:PORT, tls://HOST:PORT, local or gateway[:NAME].",
        )
    if not (insecure or is_confidential(address)):
        raise InvalidSettings(
            f"Over {address} the password of the image server would travel unencrypted",
            "Use tls://, gateway or a scheduler on this machine, or allow it with --dask-insecure.",
        )


def is_confidential(address: str) -> bool:
    """Whether no one else can read what is sent there."""
    url = urllib.parse.urlsplit(address)
    with contextlib.suppress(ValueError):
        return url.scheme == "tls" or ipaddress.ip_address(url.hostname or "").is_loopback
    return url.hostname == "localhost"
