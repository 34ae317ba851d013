"""Names of image files: extensions, length and numbering, for both daemons."""

LONGEST_NAME = 250
"""Bytes of one name: Nextcloud accepts 250, Apache and most file systems 255."""
HIDDEN_FOLDER = ".scaler"
"""Where the scaler keeps unfinished work on servers that cannot replace a file in place."""

READABLE = frozenset(
    {
        *(".jpg", ".jpeg", ".jpe", ".jfif"),
        *(".png", ".apng", ".webp", ".avif", ".gif"),
        *(".tif", ".tiff", ".bmp", ".dib"),
        *(".jp2", ".j2k", ".j2c", ".jpc"),
        *(".pbm", ".pgm", ".ppm", ".pnm"),
    }
)
"""Lower-case extensions of the formats that can be upscaled."""
_RAW = (
    *(".dng", ".raw", ".crw", ".cr2", ".cr3", ".nef", ".nrw", ".arw", ".srf", ".sr2", ".srw", ".raf", ".orf", ".ori"),
    *(".rw2", ".rwl", ".pef", ".3fr", ".fff", ".iiq", ".mos", ".mef", ".mrw", ".x3f", ".erf", ".kdc", ".dcr", ".gpr"),
)
_OTHERS = (
    *(".jxl", ".jxr", ".wdp", ".hdp", ".jpx", ".jpf", ".jpm", ".jph", ".jhc", ".jls", ".psd", ".psb", ".xcf", ".kra"),
    *(".svg", ".svgz", ".eps", ".exr", ".hdr", ".pfm", ".pam", ".qoi", ".ico", ".tga", ".pcx", ".dds", ".xbm", ".xpm"),
)
UNREADABLE = {
    **dict.fromkeys((".heic", ".heif", ".heics", ".heifs", ".hif", ".avci"), "HEIC"),
    **dict.fromkeys(_RAW, "camera raw"),
    **{extension: extension[1:].upper() for extension in _OTHERS},
}
"""Lower-case extensions of images that cannot be upscaled, and the names of their formats."""
IMAGES = READABLE | {".jxl", ".heic", ".heif"}
"""Lower-case extensions of images, some of which a server may not know by their media type."""

# A longer part after the last dot is not an extension worth keeping.
_LONGEST_EXTENSION = 20


def split(name: str) -> tuple[str, str]:
    """Stem and extension (with its dot); the leading dot of a hidden file belongs to the stem."""
    stem, dot, extension = name.rpartition(".")
    return (stem, dot + extension) if stem and len(extension) <= _LONGEST_EXTENSION else (name, "")


def fit(stem: str, tail: str) -> str:
    """The stem and the tail, with the stem cut so that the name is not too long."""
    return stem.encode()[: LONGEST_NAME - len(tail.encode())].decode(errors="ignore") + tail


def numbered(name: str, number: int) -> str:
    """The name itself for 1, else with " (2)", " (3)", … before its extension."""
    stem, extension = split(name)
    return fit(stem, (f" ({number})" if number > 1 else "") + extension)
