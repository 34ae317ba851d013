"""What hides secrets, whatever they look like; that all outputs use it is tested where they are."""

from hypothesis import given
from hypothesis import strategies as st

from shared import redaction


def test_an_empty_secret_hides_nothing() -> None:
    redaction.hide("")
    assert redaction.redact("text") == "text"


@given(st.text(st.characters(exclude_characters="*", exclude_categories=["Cs"]), min_size=4))
def test_whatever_the_secret_it_is_gone(secret: str) -> None:
    redaction._hidden.clear()
    redaction.hide(secret)
    assert redaction.redact(f"<{secret}>") == f"<{redaction.HIDDEN}>"


def test_a_secret_that_begins_as_another_leaves_nothing_of_it() -> None:
    redaction.hide("correct", "correct horse battery")
    assert redaction.redact("<correct horse battery> <correct>") == f"<{redaction.HIDDEN}> <{redaction.HIDDEN}>"


def test_an_escape_at_the_end_of_a_secret_is_hidden_with_it() -> None:
    secret = "back\\"
    redaction.hide(secret)
    assert redaction.redact(repr(secret)) == f"'{redaction.HIDDEN}'"


def test_only_a_space_may_be_a_plus_sign() -> None:
    redaction.hide("4 7-9")
    assert redaction.redact("4+7-9, 4 7+9") == f"{redaction.HIDDEN}, 4 7+9"


def test_a_secret_that_is_used_again_stays_hidden() -> None:
    redaction.hide("still in use")
    for number in range(redaction._REMEMBERED - 1):
        redaction.hide(f"token {number:03} of a login")
    redaction.hide("still in use", "another token")
    assert redaction.redact("still in use") == redaction.HIDDEN
