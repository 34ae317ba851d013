"""The plain way to file images: nc_py_api's own calls, one image after the other, and a MOVE.

nc_py_api's own `move` searches for the file afterwards, which the sandbox's Nextcloud does not answer.

NEXTCLOUD_URL, NEXTCLOUD_USER, NEXTCLOUD_PASSWORD; python -m tests.bench.plain_mover UNSORTED ROOT PARENT
"""

import os
import sys
import warnings
from urllib.parse import quote

import requests

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from nc_py_api import Nextcloud, NextcloudException  # type: ignore[import-untyped]


def main(unsorted: str, root: str, parent: str) -> None:
    """Everything that is there."""
    nextcloud = Nextcloud(
        nextcloud_url=os.environ["NEXTCLOUD_URL"],
        nc_auth_user=os.environ["NEXTCLOUD_USER"],
        nc_auth_pass=os.environ["NEXTCLOUD_PASSWORD"],
    )
    for image in nextcloud.files.listdir(unsorted):
        for tag in nextcloud.files.get_tags(image):
            head, _, category = tag.display_name.partition(":")
            if head == parent and category:
                try:
                    nextcloud.files.mkdir(f"{root}/{category}")
                except NextcloudException as error:
                    if error.status_code != 405:
                        raise
                _move(f"{unsorted}/{image.name}", f"{root}/{category}/{image.name}")
                nextcloud.files.unassign_tag(image, tag)


def _move(source: str, target: str) -> None:
    user, password = os.environ["NEXTCLOUD_USER"], os.environ["NEXTCLOUD_PASSWORD"]
    files = f"{os.environ['NEXTCLOUD_URL']}/remote.php/dav/files/{user}/"
    headers = {"Destination": files + quote(target)}
    requests.request(
        "MOVE", files + quote(source), headers=headers, auth=(user, password), timeout=60
    ).raise_for_status()


if __name__ == "__main__":
    with warnings.catch_warnings():
        # Of the synchronous client, which the next version will not have.
        warnings.simplefilter("ignore")
        main(*sys.argv[1:4])
