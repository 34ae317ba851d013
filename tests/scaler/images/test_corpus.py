"""Every kind of file that `tests.bench.kinds` builds: upscaled right, or skipped with a reason, and none wrong."""

import shutil
from collections import Counter

import pytest

from scaler.images.probe import UnsupportedImage, read_header
from tests.bench import corpus, judge, kinds, samples
from tests.bench.kinds import Kind

pytestmark = [
    pytest.mark.server,
    pytest.mark.slow,
    pytest.mark.skipif(
        not all(map(shutil.which, ("convert", "vips", "tiffcp", "cwebp"))),
        reason="ImageMagick, libvips', libtiff's or libwebp's tools are not installed",
    ),
]

UPSCALED = {
    "AVIF": 80,
    "BMP": 50,
    "GIF": 40,
    "JPEG": 75,
    "JPEG 2000": 30,
    "PNG": 95,
    "PNM": 75,
    "TIFF": 170,
    "WebP": 45,
    "others": 0,
}
"""At least so many; the others, whose outcome libraries may change, are skipped."""


@pytest.mark.parametrize("name", kinds.FORMATS)
def test_no_kind_comes_out_wrong(name: str) -> None:
    outcomes = [corpus.examine(kind) for kind in kinds.every(name)]
    assert [outcome for outcome in outcomes if outcome.outcome not in ("right", "skipped")] == []
    assert Counter(outcome.outcome for outcome in outcomes)["right"] >= UPSCALED[name]
    for outcome in outcomes:
        assert (outcome.outcome == "skipped") == bool(outcome.detail)
        if "damaged" in outcome.detail and " or " not in outcome.detail:
            assert any(word in outcome.name for word in DAMAGED), outcome


DAMAGED = ("cut off", "damaged", "wrong", "without", "white", "said to be", "beyond")
"""Of the names of kinds that were damaged on purpose."""


def test_the_judge_sees_what_is_wrong() -> None:
    data = samples.plain("PNG")
    header = read_header(data)
    worse = samples.saved(samples.scene().resize((240, 160), 0), "PNG")
    assert judge.fault(data, worse, header)
    assert judge.fault(data, data, header)


def test_a_failure_is_an_outcome(monkeypatch: pytest.MonkeyPatch) -> None:
    kind = Kind("PNG", "plain", samples.plain("PNG"))

    def fails(_data: bytes) -> bytes:
        raise UnsupportedImage("it is a test")

    monkeypatch.setattr(corpus, "upscale", fails)
    assert corpus.examine(kind) == corpus.Outcome("plain", "PNG", "skipped", "it is a test")
    monkeypatch.setattr(corpus, "upscale", lambda data: data)
    assert corpus.examine(kind).outcome == "wrong"
