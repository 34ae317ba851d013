"""The servers that are held to the contract."""

import pytest

from tests.servers.fixtures import KINDS, NGINX, site_on
from tests.servers.site import Site


@pytest.fixture(params=[*KINDS, NGINX])
def site(request: pytest.FixtureRequest) -> Site:
    """An empty account on each kind of server in turn."""
    return site_on(request, request.param)
