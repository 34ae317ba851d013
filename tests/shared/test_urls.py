"""From what people write to addresses."""

import urllib.parse

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import redaction
from shared.config.urls import in_clear, inside_account, nextcloud_root, normal, server_root, without_login


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("https://host", "https://host/"),
        ("https://host/", "https://host/"),
        (" https://host:8443/a ", "https://host:8443/a/"),
        ("https://host/a//", "https://host/a/"),
        ("http://host/dav/steph(2021)/a b", "http://host/dav/steph(2021)/a%20b/"),
        ("http://host/dav/steph%282021%29/a%20b/", "http://host/dav/steph%282021%29/a%20b/"),
        ("http://host/100%/ü", "http://host/100%25/%C3%BC/"),
        ("http://host/a%2", "http://host/a%252/"),
        ("http://[::1]:80/a", "http://[::1]:80/a/"),
    ],
)
def test_an_address(written: str, meant: str) -> None:
    assert normal(written) == meant


@pytest.mark.parametrize(
    "written",
    [
        "",
        "host/dav",
        "ftp://host/",
        "https://",
        "https:///path",
        "https://alice:pw@host/",
        "https://alice@host/",
        "https://host/?a=b",
        "https://host/#a",
        "https://host:0/",
        "https://host:99999/",
        "https://host:x/",
        "https://[::1/",
    ],
)
def test_what_is_no_address(written: str) -> None:
    with pytest.raises(ValueError, match=r"must|Port|IPv6"):
        normal(written)


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="?#\t\r\n"), max_size=30))
def test_an_address_is_made_proper_once(path: str) -> None:
    address = normal("https://host/" + path)
    assert normal(address) == address
    assert address.isascii()
    assert address.endswith("/")
    assert " " not in address
    # What was not encoded yet comes back as it was written.
    if "%" not in path:
        assert urllib.parse.unquote(address).strip("/ ") == f"https://host/{path}".strip().strip("/ ")


@pytest.mark.parametrize(
    ("url", "root", "inside"),
    [
        ("https://host/", "https://host/", ""),
        ("https://host/remote.php/webdav", "https://host/", ""),
        ("https://host/remote.php/dav/files/alice/", "https://host/", ""),
        ("https://host/remote.php/dav/files/alice/Fotos%20(1)/raw", "https://host/", "Fotos (1)/raw"),
        ("https://host/cloud/remote.php/webdav/a/b/", "https://host/cloud/", "a/b"),
        ("https://host/remote.phpx/", "https://host/remote.phpx/", ""),
    ],
)
def test_the_parts_of_an_address(url: str, root: str, inside: str) -> None:
    assert server_root(url) == root
    if "phpx" not in url:
        assert inside_account(url) == inside


@pytest.mark.parametrize("root", ["https://host/", "http://apps/", "https://s/cloud/", "http://login:8080/"])
@pytest.mark.parametrize(
    "page", ["", "index.php/apps/files", "apps/files/", "login", "s/abc", "remote.php/webdav/a", "ocs/v2.php"]
)
def test_the_root_of_a_nextcloud(root: str, page: str) -> None:
    """Also on a host that is called like one of its pages."""
    assert nextcloud_root(root + page) == root


@pytest.mark.parametrize(
    ("url", "readable"),
    [
        ("http://images.example.com/dav/", True),
        ("http://10.0.0.7:8080/", True),
        ("http://localhost.example.com/", True),
        ("http://[fe80::1]/", True),
        ("https://images.example.com/dav/", False),
        ("http://localhost:8080/dav/", False),
        ("http://a.localhost/", False),
        ("http://127.0.0.1/", False),
        ("http://127.9.9.9/", False),
        ("http://[::1]:8200/", False),
    ],
)
def test_whether_a_password_can_be_read_on_the_way(url: str, readable: bool) -> None:
    assert in_clear(url) == readable


@pytest.mark.parametrize("url", ["http://user:s3#cret@host/", "http://user:s3cret@host:x/", "https://host:s3cret/"])
def test_an_address_that_makes_no_sense_repeats_nothing_of_a_password(url: str) -> None:
    with pytest.raises(ValueError, match="must") as caught:
        normal(url)
    assert "s3" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://user:s3cret%21@host:8200/vault", "https://host:8200/vault"),
        ("https://host:8200", "https://host:8200"),
        ("host:8200", "host:8200"),
        ("http://[::1", "http://[::1"),
    ],
)
def test_an_address_is_shown_without_its_login(url: str, shown: str) -> None:
    assert without_login(url) == shown
    assert redaction.redact("s3cret!") == (redaction.HIDDEN if "s3cret" in url else "s3cret!")
