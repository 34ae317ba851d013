"""One image: upscale it, publish it.

The first half is `upscaling`. Publication follows the protocol that the server supports: `in_place` or `claims`.
"""

import dataclasses
import time
from dataclasses import dataclass

from scaler.claims import ClaimPublisher
from scaler.in_place import InPlacePublisher
from scaler.upscaling import AlreadyUpscaled, Published, Resources, UpscaleJob, upscale_image
from shared.webdav.store import Entry


@dataclass(frozen=True)
class Pipeline:
    """Processes images; several threads may call `process` at once.

    Attributes:
        in_place: publishes what was upscaled before an interruption.
        quality: 1 to 100, for lossy formats.
        thumbnails: make one of each image.
    """

    resources: Resources
    publisher: InPlacePublisher | ClaimPublisher
    in_place: InPlacePublisher
    quality: int
    thumbnails: bool = False

    def process(self, entry: Entry) -> Published:
        """Upscale and publish an image.

        Raises:
            UnsupportedImage: the image has to be skipped.
            Failure: the original is where it was, or a later poll finishes it.
            Cancelled: the same, because the daemon was asked to stop.
        """
        self.resources.stop.check()
        upload = self.publisher.new_upload()
        try:
            job = UpscaleJob(entry, upload, self.in_place.notes.get(entry.file_id), self.quality, self.thumbnails)
            upscaled = upscale_image(job, self.resources)
        except AlreadyUpscaled as result:
            return self.in_place.finish(entry, result.marker_id)
        started = time.monotonic()
        with self.resources.connections.connect() as store:
            published = self.publisher.publish(store, entry, upload, upscaled)
        return dataclasses.replace(published, seconds=time.monotonic() - started)
