"""The steps from an original to its published copy, and their completion from what lies on the server alone."""

import itertools
import time
import urllib.parse
from collections.abc import Callable
from pathlib import Path

import pytest

from scaler.names import ClaimName
from shared.errors import Forbidden, NotFound, PreconditionFailed
from shared.webdav.store import Href
from tests.contract.memory import MemoryServer
from tests.contract.spy import Call, Killed, SpiedAccount, StopAt
from tests.scaler.harness import (
    HIDDEN,
    RAW,
    UNSORTED,
    a_scaler,
    assert_done,
    claims,
    config,
    image,
    inside,
    pixels,
    poll,
    prepare,
    published,
    uploads,
    upscaled_pixels,
)
from tests.servers.site import Site

NAME = "Unknown Zoë.png"


def decoded(href: Href | None) -> str:
    return urllib.parse.unquote(href or "")


def is_claim(call: Call) -> bool:
    """The move of an original into its claim."""
    return call.method == "move" and f"{RAW}/{HIDDEN}/" in decoded(call.target)


def is_publication(call: Call) -> bool:
    """The move of an upload to its final name."""
    return call.method == "move" and UNSORTED in decoded(call.target) and HIDDEN not in decoded(call.target)


def before(which: Callable[[Call], bool], act: Callable[[Call], object]) -> Callable[[Call], None]:
    """Act once, before the first call of a kind."""
    seen: list[Call] = []

    def spy(call: Call) -> None:
        if not call.after and not seen and which(call):
            seen.append(call)
            act(call)

    return spy


def after(which: Callable[[Call], bool], act: Callable[[Call], object]) -> Callable[[Call], None]:
    """Act once, after the first call of a kind that took effect."""
    seen: list[Call] = []

    def spy(call: Call) -> None:
        if call.after and not seen and which(call):
            seen.append(call)
            act(call)

    return spy


def die(_call: Call) -> None:
    raise Killed


def stop_at(site: Site, state: Path, spy: Callable[[Call], None], unsorted: str = UNSORTED) -> None:
    """Run a scaler that dies where the tap says."""
    dead: list[bool] = []

    def once_and_for_all(call: Call) -> None:
        if dead:
            raise Killed
        try:
            spy(call)
        except Killed:
            dead.append(True)
            raise

    with pytest.raises(Killed):
        poll(SpiedAccount(site.account, once_and_for_all), state, unsorted=unsorted)


def test_an_image_goes_all_the_way(site: Site, tmp_path: Path) -> None:
    prepare(site)
    site.write(f"{RAW}/{NAME}", image())
    site.write(f"{RAW}/other.png", b"not wanted")
    site.write(f"{UNSORTED}/there.png", b"there before")

    assert poll(site.account, tmp_path) == []

    assert inside(site, RAW) == {"other.png": b"not wanted"}
    assert claims(site) == {}
    assert uploads(site) == {}
    assert inside(site, UNSORTED).pop("there.png") == b"there before"
    site.remove(f"{UNSORTED}/there.png")
    (data,) = published(site).values()
    assert pixels(data) == upscaled_pixels(image())


def test_whatever_stops_in_between_is_finished(site: Site, tmp_path: Path) -> None:
    """Die at every moment between two requests, start again, and count."""
    for n in itertools.count():
        raw, unsorted = f"raw-{n}", f"unsorted-{n}"
        prepare(site, raw, unsorted)
        site.write(f"{raw}/{NAME}", image(n))
        stop = StopAt(n)
        try:
            poll(SpiedAccount(site.account, stop), tmp_path, raw=raw, unsorted=unsorted)
        except Killed:
            died = True
        else:
            died = False
        copies = published(site, unsorted)
        originals = {**inside(site, raw), **claims(site, raw)}
        assert originals or copies, f"the image is lost after moment {n}"

        # What was replaced in place a moment ago has to settle.
        assert poll(site.account, tmp_path, raw=raw, unsorted=unsorted, until_settled=True) == []

        assert_done(site, {NAME: image(n)}, raw=raw, unsorted=unsorted)
        # What was uploaded and not claimed stays for a day, lest it is still somebody's.
        assert len(uploads(site, unsorted)) <= 1
        if not died:
            break
    # From the look for claims to the delete there are at least eight requests, each with a moment before and after.
    assert n >= 16


def test_a_claim_whose_upload_folder_is_gone_is_moved_back(claim_site: Site, tmp_path: Path) -> None:
    prepare(claim_site)
    claim_site.write(f"{RAW}/{NAME}", image())
    stop_at(claim_site, tmp_path, after(is_claim, die))
    assert inside(claim_site, RAW) == {}
    (claim,) = claims(claim_site)
    assert ClaimName.parse(claim)
    claim_site.remove(f"{UNSORTED}/{HIDDEN}")

    assert poll(claim_site.account, tmp_path) == []

    assert_done(claim_site, {NAME: image()})


def test_a_claim_moved_back_does_not_replace_what_took_its_name(claim_site: Site, tmp_path: Path) -> None:
    prepare(claim_site)
    claim_site.write(f"{RAW}/{NAME}", image(1))
    stop_at(claim_site, tmp_path, after(is_claim, die))
    claim_site.remove(f"{UNSORTED}/{HIDDEN}")
    claim_site.write(f"{RAW}/{NAME}", image(2))

    assert poll(claim_site.account, tmp_path) == []

    second = NAME.replace(".png", " (2).png")
    assert_done(claim_site, {NAME: image(2), second: image(1)})


def test_a_claim_made_for_another_unsorted_folder_is_finished_there(claim_site: Site, tmp_path: Path) -> None:
    prepare(claim_site)
    claim_site.make_folder("elsewhere/new")
    claim_site.write(f"{RAW}/{NAME}", image())
    stop_at(claim_site, tmp_path, after(is_claim, die))

    assert poll(claim_site.account, tmp_path, unsorted="elsewhere/new") == []

    assert_done(claim_site, {NAME: image()})
    assert inside(claim_site, "elsewhere/new") == {}


def test_a_claim_of_an_unknown_unsorted_folder_is_moved_back(claim_site: Site, tmp_path: Path) -> None:
    prepare(claim_site)
    claim_site.make_folder("elsewhere")
    claim_site.write(f"{RAW}/{NAME}", image())
    stop_at(claim_site, tmp_path, after(is_claim, die))
    (destination_record,) = [path for path in claim_site.files() if path.endswith(".txt")]
    claim_site.remove(destination_record)

    assert poll(claim_site.account, tmp_path, unsorted="elsewhere") == []

    assert_done(claim_site, {NAME: image()}, unsorted="elsewhere")
    assert inside(claim_site, UNSORTED) == {}


def test_an_original_replaced_before_its_claim_is_upscaled_as_it_is_now(claim_site: Site, tmp_path: Path) -> None:
    prepare(claim_site)
    claim_site.write(f"{RAW}/{NAME}", image(1), age=7200)
    replace = before(is_claim, lambda _: claim_site.write(f"{RAW}/{NAME}", image(2, width=12), age=3600))
    with a_scaler(tmp_path) as scaler:
        assert scaler.poll(config(SpiedAccount(claim_site.account, replace))) == []
        assert published(claim_site) == {}
        assert inside(claim_site, RAW) == {NAME: image(2, width=12)}
        assert claims(claim_site) == {}
        assert uploads(claim_site) == {}
        assert scaler.poll(config(claim_site.account)) == []
    assert_done(claim_site, {NAME: image(2, width=12)})


def test_an_original_replaced_before_its_claim_survives_a_stop_right_after_it(claim_site: Site, tmp_path: Path) -> None:
    """Whoever finishes the claim has not read the original, and must not take the copy for one of it."""
    prepare(claim_site)
    claim_site.write(f"{RAW}/{NAME}", image(1), age=7200)
    replace = before(is_claim, lambda _: claim_site.write(f"{RAW}/{NAME}", image(2, width=12), age=3600))
    kill = after(is_claim, die)

    def spy(call: Call) -> None:
        replace(call)
        kill(call)

    if claim_site.conditional:
        # The server rejects the claim; the process goes on.
        assert poll(SpiedAccount(claim_site.account, spy), tmp_path) == []
    else:
        stop_at(claim_site, tmp_path, spy)
    assert poll(claim_site.account, tmp_path) == []
    assert_done(claim_site, {NAME: image(2, width=12)})


def test_an_original_deleted_before_its_claim_leaves_nothing(claim_site: Site, tmp_path: Path) -> None:
    prepare(claim_site)
    claim_site.write(f"{RAW}/{NAME}", image())
    delete = before(is_claim, lambda _: claim_site.remove(f"{RAW}/{NAME}"))
    assert poll(SpiedAccount(claim_site.account, delete), tmp_path) == []
    assert {path for path in claim_site.files() if not path.endswith(".txt")} == set()


def test_a_final_name_that_is_taken_gets_a_number(site: Site, tmp_path: Path) -> None:
    prepare(site)
    site.write(f"{RAW}/{NAME}", image())
    taken: list[str] = []

    def take(call: Call) -> None:
        taken.append(decoded(call.target).rpartition("/")[2])
        site.write(f"{UNSORTED}/{taken[0]}", b"precious")
        site.write(f"{UNSORTED}/{taken[0].replace('.png', '-2.png')}", b"precious too")

    assert poll(SpiedAccount(site.account, before(is_publication, take)), tmp_path) == []

    there = inside(site, UNSORTED)
    stem = taken[0].removesuffix(".png")
    assert set(there) == {f"{stem}.png", f"{stem}-2.png", f"{stem}-3.png"}
    assert there[f"{stem}.png"] == b"precious"
    assert there[f"{stem}-2.png"] == b"precious too"
    assert pixels(there[f"{stem}-3.png"]) == upscaled_pixels(image())
    assert inside(site, RAW) == claims(site) == uploads(site) == {}


def test_an_image_claimed_by_another_scaler_is_published_once(claim_site: Site, tmp_path: Path) -> None:
    """Two scalers hold a copy of the same original; one of them wins the claim."""
    prepare(claim_site)
    claim_site.write(f"{RAW}/{NAME}", image())
    baseline = before(is_claim, lambda _: poll(claim_site.account, tmp_path / "other"))
    assert poll(SpiedAccount(claim_site.account, baseline), tmp_path / "first") == []
    assert_done(claim_site, {NAME: image()})
    assert uploads(claim_site) == {}


def test_a_claim_finished_by_another_scaler_is_published_once(claim_site: Site, tmp_path: Path) -> None:
    """A scaler is so slow after its claim that another takes it for dead."""
    prepare(claim_site)
    claim_site.write(f"{RAW}/{NAME}", image())
    baseline = after(is_claim, lambda _: poll(claim_site.account, tmp_path / "other"))
    assert poll(SpiedAccount(claim_site.account, baseline), tmp_path / "slow") == []
    assert_done(claim_site, {NAME: image()})
    assert uploads(claim_site) == {}


def test_a_published_copy_that_was_filed_away_is_not_published_again(claim_site: Site, tmp_path: Path) -> None:
    prepare(claim_site)
    claim_site.write(f"{RAW}/{NAME}", image())
    stop_at(claim_site, tmp_path, after(is_publication, die))
    assert len(claims(claim_site)) == 1
    (name,) = inside(claim_site, UNSORTED)
    claim_site.remove(f"{UNSORTED}/{name}")

    assert poll(claim_site.account, tmp_path) == []

    assert inside(claim_site, RAW) == claims(claim_site) == inside(claim_site, UNSORTED) == {}


def test_the_upload_folder_that_vanishes_while_an_image_computes(claim_site: Site, tmp_path: Path) -> None:
    prepare(claim_site)
    claim_site.write(f"{RAW}/{NAME}", image())

    def gone(_call: Call) -> None:
        claim_site.remove(f"{UNSORTED}/{HIDDEN}")

    with a_scaler(tmp_path) as scaler:
        spied = config(
            SpiedAccount(
                claim_site.account,
                before(
                    lambda call: call.method == "put" and HIDDEN in call.href and UNSORTED in decoded(call.href), gone
                ),
            )
        )
        failures = scaler.poll(spied)
        assert len(failures) == 1
        assert inside(claim_site, RAW) == {NAME: image()}
        assert scaler.poll(spied) == []
    assert_done(claim_site, {NAME: image()})


@pytest.mark.server
def test_a_claim_that_the_server_forbids(apache_site: Site, tmp_path: Path) -> None:
    raw = "no-delete/raw"
    prepare(apache_site, raw)
    apache_site.write(f"{raw}/{NAME}", image())
    check_forbidden(apache_site, raw, tmp_path)


@pytest.mark.parametrize("conditional", [True, False])
def test_a_claim_that_is_forbidden(conditional: bool, tmp_path: Path) -> None:
    site = MemoryServer(conditional=conditional)
    prepare(site)
    site.write(f"{RAW}/{NAME}", image())

    def forbid(method: str, href: Href, after: bool) -> None:
        if method in ("MOVE", "DELETE") and RAW in href and not after:
            raise Forbidden("status 403")

    site.interfere = forbid
    check_forbidden(site, RAW, tmp_path)


def check_forbidden(site: Site, raw: str, tmp_path: Path) -> None:
    """Nothing is published, the original stays, the upload goes, and the image is not fetched again and again."""
    calls: list[Call] = []
    with a_scaler(tmp_path) as scaler:
        watched = config(SpiedAccount(site.account, calls.append), raw)
        (failure,) = scaler.poll(watched)
        assert isinstance(failure, Forbidden)
        for _ in range(2):
            assert inside(site, raw) == {NAME: image()}
            assert claims(site, raw) == uploads(site) == inside(site, UNSORTED) == {}
            calls.clear()
            assert scaler.poll(watched) == []
            assert [call for call in calls if call.method == "get" and NAME in decoded(call.href)] == []
    # With another start it is tried again: somebody may have granted the right.
    assert len(poll(site.account, tmp_path, raw=raw)) == 1


def test_a_publication_that_is_forbidden_brings_the_original_back(memory_site: MemoryServer, tmp_path: Path) -> None:
    prepare(memory_site)
    memory_site.write(f"{RAW}/{NAME}", image())

    def forbid(call: Call) -> None:
        if is_publication(call) and not call.after:
            raise Forbidden("status 403")

    (failure,) = poll(SpiedAccount(memory_site.account, forbid), tmp_path)
    assert isinstance(failure, Forbidden)
    assert inside(memory_site, RAW) == {NAME: image()}
    assert claims(memory_site) == uploads(memory_site) == inside(memory_site, UNSORTED) == {}


@pytest.mark.parametrize("lie", [NotFound, PreconditionFailed])
@pytest.mark.parametrize("which", [is_claim, is_publication])
def test_an_answer_other_than_the_own_201_proves_nothing(
    memory_site: MemoryServer, tmp_path: Path, which: Callable[[Call], bool], lie: type[Exception]
) -> None:
    """A move took effect, but its answer says that it did not."""
    prepare(memory_site)
    memory_site.write(f"{RAW}/{NAME}", image())

    def say(_call: Call) -> None:
        raise lie("a lie")

    assert poll(SpiedAccount(memory_site.account, after(which, say)), tmp_path) == []
    poll(memory_site.account, tmp_path)
    assert_done(memory_site, {NAME: image()})


def test_what_nobody_claims_is_given_up_after_a_day_and_removed_after_a_week(
    memory_site: MemoryServer, tmp_path: Path
) -> None:
    prepare(memory_site)
    memory_site.make_folder(f"{RAW}/{HIDDEN}")
    ids = [f"20260101T00000{n}Z-{n:024x}" for n in range(3)] + [f"20260101T000009Z-{n:024x}-refused" for n in range(2)]
    for name, hours in zip(ids, (0.5, 23, 25, 167, 169), strict=True):
        memory_site.write(f"{UNSORTED}/{HIDDEN}/{name}", b"", age=hours * 3600)
    memory_site.write(f"{UNSORTED}/{HIDDEN}/somebody's notes.txt", b"", age=10**7)
    poll(memory_site.account, tmp_path)
    assert set(uploads(memory_site)) == {ids[0], ids[1], f"{ids[2]}-refused", ids[3], "somebody's notes.txt"}


@pytest.mark.parametrize(("missing", "key"), [(RAW, "RAW_REMOTE_DIR"), (UNSORTED, "UNSORTED_REMOTE_DIR")])
def test_a_folder_that_is_not_there_is_named(site: Site, tmp_path: Path, missing: str, key: str) -> None:
    prepare(site)
    site.remove(missing)
    with pytest.raises(NotFound) as caught:
        poll(site.account, tmp_path)
    assert missing in caught.value.message
    assert key in caught.value.hint


def test_many_images_by_several_threads(site: Site, tmp_path: Path) -> None:
    prepare(site)
    originals = {f"Unknown {n}.png": image(n) for n in range(12)}
    for name, data in originals.items():
        site.write(f"{RAW}/{name}", data)
    with a_scaler(tmp_path, threads=6) as scaler:
        assert scaler.poll(config(site.account)) == []
    assert_done(site, originals)


def test_images_whose_names_are_cut_alike_are_all_published(site: Site, tmp_path: Path) -> None:
    """Several threads want one final name at the same time."""
    prepare(site)
    originals = {f"Unknown{'x' * 230}{n:02}.png": image(n) for n in range(20)}
    for name, data in originals.items():
        site.write(f"{RAW}/{name}", data)
    with a_scaler(tmp_path, threads=10) as scaler:
        assert scaler.poll(config(site.account)) == []
    assert inside(site, RAW) == claims(site) == uploads(site) == {}
    there = sorted(pixels(data) for data in inside(site, UNSORTED).values())
    assert there == sorted(upscaled_pixels(data) for data in originals.values())


def test_one_final_name_is_tried_by_one_thread_at_a_time(memory_site: MemoryServer, tmp_path: Path) -> None:
    """Apache lets two sources that are moved onto one name win at once, `Overwrite: F` or not."""
    prepare(memory_site)
    for n in range(6):
        memory_site.write(f"{RAW}/Unknown{'x' * 230}{n:02}.png", image(n))
    under_way: list[str] = []
    together: list[int] = []

    def spy(call: Call) -> None:
        if is_publication(call) and not call.after:
            under_way.append(decoded(call.target))
            together.append(under_way.count(decoded(call.target)))
            time.sleep(0.02)
            under_way.remove(decoded(call.target))

    with a_scaler(tmp_path, threads=6) as scaler:
        assert scaler.poll(config(SpiedAccount(memory_site.account, spy))) == []
    assert len(together) >= 6
    assert set(together) == {1}
