"""What became of the images of a poll, in one line."""

from dataclasses import dataclass, field

from loguru import logger

from shared.errors import Failure


@dataclass
class Report:
    """What became of the images of one poll."""

    upscaled: int = 0
    refused: int = 0
    passed_by: int = 0  # gone, replaced, or taken by another scaler
    failed: list[Failure] = field(default_factory=list)
    waiting: int = 0

    def and_then(self, later: "Report") -> "Report":
        """Both together; what waited in the first was looked at again in the second."""
        return Report(
            self.upscaled + later.upscaled,
            self.refused + later.refused,
            self.passed_by + later.passed_by,
            self.failed + later.failed,
            later.waiting,
        )

    def log(self, seconds: float) -> None:
        """One line, if there was anything to do."""
        counts = {
            "upscaled": self.upscaled,
            "cannot be upscaled": self.refused,
            "changed or taken meanwhile": self.passed_by,
            "failed": len(self.failed),
            "still changing": self.waiting,
        }
        said = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
        logger.log("INFO" if said else "DEBUG", "Poll finished in {:.1f} s: {}", seconds, said or "nothing to do")
