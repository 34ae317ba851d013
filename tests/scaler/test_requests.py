"""What a poll costs, counted by the server."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from sandbox.nextcloud import Nextcloud
from tests.scaler.cli import Home
from tests.scaler.harness import RAW, UNSORTED, a_scaler, config, image, inside, prepare
from tests.servers.apache import Apache
from tests.servers.site import DiskSite

IMAGES = 40
CONNECTIONS = 12


def photograph(width: int, height: int) -> bytes:
    """A JPEG that compresses about as a photograph does."""
    rough = np.random.default_rng(1).integers(0, 255, (height // 20, width // 20, 3), dtype=np.uint8)
    done, data = cv2.imencode(".jpg", cv2.resize(rough, (width, height), interpolation=cv2.INTER_CUBIC))
    assert done
    return data.tobytes()


@pytest.mark.slow
@pytest.mark.server
def test_forty_images_on_apache(the_apache: Apache, apache_site: DiskSite, home: Home) -> None:
    prepare(apache_site)
    data = photograph(2000, 1500)
    for number in range(IMAGES):
        apache_site.write(f"{RAW}/Unknown {number}.jpg", data)
    home.point_to(apache_site)
    the_apache.clear_log()

    assert home.scaler("--once").status == 0

    asked = the_apache.requests()
    assert len(inside(apache_site, UNSORTED)) == IMAGES
    assert len(asked) <= 6 * IMAGES + 8
    assert len({record.peer for record in asked}) <= CONNECTIONS


def test_forty_images_on_a_server_that_answers_with_a_hash(
    the_nextcloud: Nextcloud, nextcloud_site: DiskSite, home: Home
) -> None:
    prepare(nextcloud_site)
    for number in range(IMAGES):
        nextcloud_site.write(f"{RAW}/Unknown {number}.png", image(number))
    home.point_to(nextcloud_site)
    the_nextcloud.clear_log()

    assert home.scaler("--once").status == 0

    asked = the_nextcloud.requests
    assert len(inside(nextcloud_site, UNSORTED)) == IMAGES
    assert len(asked) <= 5 * IMAGES + 10
    assert len({record.peer for record in asked}) <= CONNECTIONS


def test_an_idle_poll_costs_one_small_request_where_an_etag_tells(
    the_nextcloud: Nextcloud, nextcloud_site: DiskSite, tmp_path: Path
) -> None:
    prepare(nextcloud_site)
    nextcloud_site.write(f"{RAW}/other.png", b"")
    with a_scaler(tmp_path) as scaler:
        scaler.poll(config(nextcloud_site.account))
        the_nextcloud.clear_log()
        scaler.poll(config(nextcloud_site.account))
        (asked,) = the_nextcloud.requests
        assert (asked.method, asked.headers["depth"]) == ("PROPFIND", "0")
        # And it still notices what is new.
        nextcloud_site.write(f"{RAW}/Unknown.png", image())
        scaler.poll(config(nextcloud_site.account))
    assert len(inside(nextcloud_site, UNSORTED)) == 1


@pytest.mark.server
def test_an_idle_poll_costs_one_listing_elsewhere(the_apache: Apache, apache_site: DiskSite, tmp_path: Path) -> None:
    prepare(apache_site)
    with a_scaler(tmp_path) as scaler:
        scaler.poll(config(apache_site.account))
        the_apache.clear_log()
        scaler.poll(config(apache_site.account))
    assert [record.method for record in the_apache.requests()] == ["PROPFIND"]


def test_a_skipped_image_is_fetched_once(the_nextcloud: Nextcloud, nextcloud_site: DiskSite, tmp_path: Path) -> None:
    """However many others are skipped after it."""
    prepare(nextcloud_site)
    the_nextcloud.clear_log()
    with a_scaler(tmp_path) as scaler:
        for number in range(4):
            nextcloud_site.write(f"{RAW}/Unknown {number}.png", b"bad" * number)
            scaler.poll(config(nextcloud_site.account))
    fetched = [record.path for record in the_nextcloud.requests if record.method == "GET" and RAW in record.path]
    assert len(fetched) == len(set(fetched)) == 4
