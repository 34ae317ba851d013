"""Settings from a file: everything that is wrong with them, before any is written."""

import difflib
from collections.abc import Collection, Mapping
from typing import Any

from pydantic import ValidationError

from shared.config.secrets import KINDS
from shared.config.settings import in_words


def problems_of(secrets: Any) -> list[str]:
    """The values that the daemons would not accept, and the keys that they do not know; each problem with its place."""
    if not isinstance(secrets, Mapping) or not secrets:
        names = ", ".join(KINDS)
        return [f'there must be secrets by name ({names}), as in {{"webdav": {{"username": …}}}}']
    return [problem for name, values in secrets.items() for problem in _problems_of_one(name, values)]


def _problems_of_one(name: str, values: Any) -> list[str]:
    kind = KINDS.get(name)
    if kind is None:
        return [f"{name!r} is not a secret of the daemons{_meant(name, KINDS)}"]
    if not isinstance(values, Mapping):
        return [f"{name}: must hold keys and values, as in {{{next(iter(kind.model_fields))!r}: …}}"]
    known = kind.model_fields
    problems = [f"{name}: unknown key {key!r}{_meant(key, known)}" for key in values if key not in known]
    try:
        kind.model_validate(values)
    except ValidationError as error:
        problems += [f"{name}: {in_words(detail)}" for detail in error.errors()]
    return problems


def _meant(name: str, known: Collection[str]) -> str:
    """A "did you mean" for the closest known name, if any."""
    by_lower = {each.lower(): each for each in known}
    nearest = difflib.get_close_matches(name.lower(), by_lower, 1, 0.5)
    return f"; did you mean {by_lower[nearest[0]]!r}?" if nearest else ""
