"""Certificates for servers on loopback, by authorities of the tests' own."""

import datetime
import ssl
from pathlib import Path

import trustme

HOST = "127.0.0.1"


class Authority:
    """A certificate authority.

    Attributes:
        file: its certificate, for WEBDAV_CACERT.
    """

    def __init__(self, folder: Path) -> None:
        self._authority = trustme.CA()
        self.file = folder / f"authority-{id(self)}.pem"
        self._authority.cert_pem.write_to_path(str(self.file))

    def certificate(self, host: str = HOST, *, expired: bool = False) -> ssl.SSLContext:
        """A server's certificate for a host."""
        yesterday = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
        issued = self._authority.issue_cert(host, not_after=yesterday if expired else None)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        issued.configure_cert(context)
        return context
