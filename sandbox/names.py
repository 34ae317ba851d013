"""The names that Nextcloud does not allow."""

from sandbox.sabre import SabreError, invalid_path

LONGEST_NAME = 250
FORBIDDEN_EXTENSIONS = (".filepart", ".part")
FORBIDDEN_NAMES = (".htaccess",)


def check_name(name: str) -> None:
    """Raise SabreError if no file or folder may have this name."""
    if error := _error(name):
        raise error


def _error(name: str) -> SabreError | None:
    if len(name.encode()) > LONGEST_NAME:
        return invalid_path("Filename is too long")
    if name.lower() in FORBIDDEN_NAMES:
        return invalid_path("Filename is a reserved word")
    if any(ord(character) < 32 for character in name):
        return invalid_path("Filename contains at least one invalid character")
    if "\\" in name:
        return invalid_path('"\\" is not allowed inside a file or folder name.')
    for extension in FORBIDDEN_EXTENSIONS:
        if name.lower().endswith(extension):
            return invalid_path(f'"{extension}" is a forbidden file type.')
    return None
