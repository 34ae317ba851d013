"""A password file for the servers that read Apache's."""

import base64
import hashlib
from pathlib import Path


def write_users(file: Path, username: str, password: str) -> None:
    """Write a password file with one user."""
    digest = base64.b64encode(hashlib.sha1(password.encode()).digest()).decode()
    file.write_text(f"{username}:{{SHA}}{digest}\n")
