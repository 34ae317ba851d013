"""The chunked uploads of an account that are in progress."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Chunk:
    """A received part of a file. `mtime` is in seconds."""

    content: Path
    size: int
    mtime: int

    @property
    def etag(self) -> str:
        """The ETag without its quotes."""
        return hashlib.md5(f"{self.content} {self.mtime}".encode()).hexdigest()  # noqa: S324 -- guards nothing


@dataclass(slots=True)
class Upload:
    """The folder of one upload: its chunks by name. `mtime` is in seconds, `etag` without its quotes."""

    name: str
    mtime: int
    etag: str
    chunks: dict[str, Chunk] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes in all chunks."""
        return sum(chunk.size for chunk in self.chunks.values())

    def assemble(self, target: Path) -> None:
        """Write the chunks to a file in the order of their names."""
        with target.open("wb") as file:
            for block in self._blocks():
                file.write(block)

    def remove(self) -> None:
        """Delete the chunks."""
        for chunk in self.chunks.values():
            chunk.content.unlink()

    def _blocks(self) -> Iterator[bytes]:
        for _, chunk in sorted(self.chunks.items()):
            with chunk.content.open("rb") as file:
                while block := file.read(BLOCK):
                    yield block
