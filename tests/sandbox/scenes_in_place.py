"""What happened between the recorded requests of replacing content in place, by requests that were not recorded."""

from collections.abc import Callable

import requests

from tests.sandbox.scenes import Scenario

DAY = "2026-11-25"
TOP = "inplace-604a13"
CONTENT = b"u" * 30_002


def _original(time: str, number: int) -> Callable[[Scenario], None]:
    def scene(scenario: Scenario) -> None:
        scenario.at(time)
        scenario.nextcloud.write(f"{TOP}/raw/Unknown-{number}.jpg", b"o" * 4502)

    return scene


def _upload(time: str, name: str, content: bytes | None) -> Callable[[Scenario], None]:
    """An upload folder with one chunk, or with none."""

    def scene(scenario: Scenario) -> None:
        scenario.at(time)
        nextcloud = scenario.nextcloud
        login = (nextcloud.user, nextcloud.password)
        folder = f"{nextcloud.url}/remote.php/dav/uploads/{nextcloud.user_id}/{name}"
        assert requests.request("MKCOL", folder, auth=login, timeout=20).status_code == 201
        if content is not None:
            assert requests.put(f"{folder}/00001", data=content, auth=login, timeout=20).status_code == 201

    return scene


def _both(*scenes: Callable[[Scenario], None]) -> Callable[[Scenario], None]:
    def scene(scenario: Scenario) -> None:
        for each in scenes:
            each(scenario)

    return scene


def _folders(scenario: Scenario) -> None:
    scenario.at("01:32:08")
    scenario.nextcloud.mkdir(f"{TOP}/raw")
    scenario.nextcloud.mkdir(f"{TOP}/unsorted")


# By the number of the exchange before which it happened.
SCENES: dict[int, Callable[[Scenario], None]] = {
    1: _both(_folders, _original("01:32:08", 1)),
    16: _original("01:32:10", 2),
    17: _upload("01:32:11", "scaler-8513d733", CONTENT),
    21: _original("01:32:12", 3),
    22: _upload("01:32:13", "scaler-934a220f", CONTENT),
    25: _original("01:32:13", 4),
    26: _both(
        _upload("01:32:15", "scaler-5f0b77e0", CONTENT),
        lambda scenario: scenario.nextcloud.delete(f"{TOP}/raw/Unknown-4.jpg"),
    ),
    28: _original("01:32:15", 5),
    29: _upload("01:32:16", "scaler-0b67a552", CONTENT[:100]),
    31: _upload("01:32:16", "scaler-afa1b34f", None),
    35: _upload("01:32:17", "scaler-e649bc0a", CONTENT),
    37: _upload("01:32:17", "scaler-170f4262", CONTENT),
}

# The recorded time is that of the request's arrival. What these wrote fell into the next second.
WROTE_A_SECOND_LATER = {17}

NOT_PLAYED: dict[int, str] = {}
