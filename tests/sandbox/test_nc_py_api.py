"""The sandbox works with nc_py_api, which the mover uses."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator

import pytest
from nc_py_api import AsyncNextcloud, NextcloudException  # type: ignore[import-untyped]

from sandbox.nextcloud import Nextcloud


@pytest.fixture(params=["", "/cloud"])
def nextcloud(request: pytest.FixtureRequest) -> Iterator[Nextcloud]:
    """A server at the root and under a sub-path, whose login name is not the user id."""
    with Nextcloud(user="alice@example.org", user_id="u 1", base_path=request.param) as server:
        (server.folder / "Photos").mkdir()
        for name in ("one.jpg", "two.jpg", "three.txt"):
            (server.folder / "Photos" / name).write_bytes(name.encode())
        yield server


def _run(nextcloud: Nextcloud, story: Callable[[AsyncNextcloud], Awaitable[None]]) -> None:
    async def run() -> None:
        client = AsyncNextcloud(
            nextcloud_url=nextcloud.url, nc_auth_user=nextcloud.user, nc_auth_pass=nextcloud.password
        )
        try:
            await story(client)
        finally:
            # The library has no public way to close its connections.
            await client._session.adapter.close()
            await client._session.adapter_dav.close()

    asyncio.run(run())


def test_it_knows_the_user_and_lists(nextcloud: Nextcloud) -> None:
    async def story(client: AsyncNextcloud) -> None:
        assert await client.user == "u 1"
        listed = await client.files.listdir("Photos")
        assert {node.name: node.info.size for node in listed} == {"one.jpg": 7, "two.jpg": 7, "three.txt": 9}

    _run(nextcloud, story)


def test_it_tags_and_untags(nextcloud: Nextcloud) -> None:
    async def story(client: AsyncNextcloud) -> None:
        await client.files.create_tag("ai:cats")
        tag = await client.files.tag_by_name("ai:cats")
        assert [listed.display_name for listed in await client.files.list_tags()] == ["ai:cats"]
        node = await client.files.by_path("Photos/one.jpg")
        assert node is not None
        await client.files.assign_tag(node, tag)
        assert nextcloud.tags_of("Photos/one.jpg") == {"ai:cats"}
        assert [found.name for found in await client.files.list_by_criteria(tags=[tag])] == ["one.jpg"]
        with pytest.raises(NextcloudException) as again:
            await client.files.assign_tag(node, tag)
        assert again.value.status_code == 409
        await client.files.unassign_tag(node, tag)
        assert nextcloud.tags_of("Photos/one.jpg") == set()

    _run(nextcloud, story)
