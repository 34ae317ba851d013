"""One image: upscale it, publish it.

The first half is `upscaling`. Publication follows the protocol that the server supports: `in_place` or `claims`.
"""

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass

from scaler.backoff import is_passing
from scaler.claims import ClaimPublisher
from scaler.in_place import InPlacePublisher
from scaler.jobs import Published, Resources, Upload, Upscaled, UpscaleJob
from scaler.selection import Version, version
from scaler.upscaling import AlreadyUpscaled
from shared.errors import ErrorPolicy, Failure, NotFound
from shared.webdav.store import Entry, Href


@dataclass(frozen=True, slots=True)
class KeptUpload:
    """An upload kept on the server from an earlier attempt, so that nothing is downloaded or uploaded twice.

    Attributes:
        version: of the original.
        upscaled: what was uploaded, to be published; None if the upload failed (its remains may still be there).
    """

    version: Version
    upload: Upload
    upscaled: Upscaled | None


@dataclass(frozen=True)
class Pipeline:
    """Processes images; several threads may call `process` at once.

    Attributes:
        upscale: `upscaling.upscale_image`, or its equivalent on a cluster.
        in_place: publishes what was upscaled before an interruption.
        kept: uploads of earlier attempts, by the href of the original.
        quality: 1 to 100, for lossy formats.
        thumbnails: make one of each image.
    """

    upscale: Callable[[UpscaleJob, Resources], Upscaled]
    resources: Resources
    publisher: InPlacePublisher | ClaimPublisher
    in_place: InPlacePublisher
    kept: dict[Href, KeptUpload]
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
        earlier = self.kept.get(entry.href)
        if earlier and self._is_publishable(entry, earlier):
            return self._publish(entry, earlier)
        if earlier:
            with self.resources.connections.connect() as store:
                self.publisher.abandon(store, earlier.upload)
            del self.kept[entry.href]
        upload = self.publisher.new_upload()
        job = UpscaleJob(entry, upload, self.in_place.notes.get(entry.file_id), self.quality, self.thumbnails)
        try:
            upscaled = self.upscale(job, self.resources)
        except AlreadyUpscaled as result:
            return self.in_place.finish(entry, result.marker_id)
        except Failure as error:
            if error.policy is ErrorPolicy.RETRY:
                # Its clean-up may have failed for the same reason.
                self.kept[entry.href] = KeptUpload(version(entry), upload, None)
            raise
        return self._publish(entry, KeptUpload(version(entry), upscaled.upload, upscaled))

    def _is_publishable(self, entry: Entry, earlier: KeptUpload) -> bool:
        """Whether an upload is of this version of the image, and still complete."""
        if earlier.upscaled is None or earlier.version != version(entry):
            return False
        upload = earlier.upload
        with self.resources.connections.connect() as store:
            if upload.folder is None:
                there = store.stat(upload.href)
                return there is not None and there.size == earlier.upscaled.size
            try:
                chunks = store.list_folder(upload.folder).entries
            except NotFound:
                return False
        return any(chunk.href == upload.href and chunk.size == earlier.upscaled.size for chunk in chunks)

    def _publish(self, entry: Entry, uploaded: KeptUpload) -> Published:
        """Publish an upload; keep it if that fails for now."""
        assert uploaded.upscaled is not None  # noqa: S101 - only such uploads reach this point
        self.kept.pop(entry.href, None)
        started = time.monotonic()
        try:
            with self.resources.connections.connect() as store:
                published = self.publisher.publish(store, entry, uploaded.upload, uploaded.upscaled)
        except Failure as error:
            if is_passing(error):
                self.kept[entry.href] = uploaded
            raise
        return dataclasses.replace(published, seconds=time.monotonic() - started)
