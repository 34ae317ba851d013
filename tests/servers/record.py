"""What a server says it was asked."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Record:
    """One request.

    Attributes:
        path: decoded.
        status: None where no answer was begun.
        peer: the client's port: one for each connection.
    """

    method: str
    path: str
    status: int | None
    peer: int
