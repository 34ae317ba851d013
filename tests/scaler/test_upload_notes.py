"""What is noted before an image is replaced, by several scalers of one home."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from scaler.upload_notes import Note, UploadNotes
from tests.scaler.cloud import log_lines

NOTE = Note("ab" * 32, "20260101T000000Z-0123456789abcdef01234567")


def test_scalers_of_one_home_do_not_get_into_each_others_way(tmp_path: Path) -> None:
    """Each writes beside the file first, under a name that the other must not take away."""
    scalers = [UploadNotes(tmp_path, "/raw/") for _ in range(2)]
    with log_lines("WARNING") as said, ThreadPoolExecutor(len(scalers)) as executor:
        list(executor.map(lambda notes: [notes.add(str(number), NOTE) for number in range(200)], scalers))
        later = UploadNotes(tmp_path, "/raw/")
    assert said == []
    assert later.get("199") == NOTE
    assert [file.suffix for file in tmp_path.iterdir()] == [".json"]
