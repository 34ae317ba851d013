"""Every field of EXIF and XMP that states a size or place in pixels, and so is multiplied by two.

Not among them: the thumbnail's own size, and the print resolution, which a larger image may keep.

Sources: CIPA DC-008 (Exif 3.0), 4.6; XMP Specification Part 2 (ISO 16684-1) for tiff: and exif:; Google's Photo Sphere
(GPano) and depth map (GDepth) schemas; MWG Guidelines 2.0, 5.9 (regions); IPTC Photo Metadata Standard (image regions).
"""

from scaler.images.probe.tiff import HEIGHT, WIDTH

EXIF_SIDES = ((WIDTH, HEIGHT), (0xA002, 0xA003), (0x1001, 0x1002))
"""Width and height: of the image, of its compressed pixels, of the related image."""
EXIF_PLACES = (0x9214, 0xA214)
"""SubjectArea and SubjectLocation."""
EXIF_DENSITIES = (0xA20E, 0xA20F)
"""FocalPlaneXResolution and FocalPlaneYResolution: pixels per length on the sensor."""

XMP_NUMBERS = (
    *("tiff:ImageWidth", "tiff:ImageLength"),
    *("exif:PixelXDimension", "exif:PixelYDimension"),
    *("GPano:CroppedAreaImageWidthPixels", "GPano:CroppedAreaImageHeightPixels"),
    *("GPano:CroppedAreaLeftPixels", "GPano:CroppedAreaTopPixels"),
    *("GPano:FullPanoWidthPixels", "GPano:FullPanoHeightPixels"),
    *("GPano:LargestValidInteriorRectLeft", "GPano:LargestValidInteriorRectTop"),
    *("GPano:LargestValidInteriorRectWidth", "GPano:LargestValidInteriorRectHeight"),
    *("GDepth:ImageWidth", "GDepth:ImageHeight"),
)
"""Properties of one whole number."""
XMP_RATIONALS = ("exif:FocalPlaneXResolution", "exif:FocalPlaneYResolution")
"""Properties that are a fraction; the numerator is multiplied."""
XMP_SEQUENCES = ("exif:SubjectArea", "exif:SubjectLocation")
"""Properties of an ordered array of whole numbers."""
XMP_REGIONS = {
    "stDim:unit": ("stDim:w", "stDim:h"),
    "stArea:unit": ("stArea:x", "stArea:y", "stArea:w", "stArea:h", "stArea:d"),
    "Iptc4xmpExt:rbUnit": tuple(f"Iptc4xmpExt:rb{name}" for name in ("X", "Y", "W", "H", "Rx")),
}
"""Numbers that are pixels if the unit next to them is `pixel`, otherwise fractions of the image."""
