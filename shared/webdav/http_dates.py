"""Dates in the headers and properties of HTTP."""

import email.utils
from datetime import UTC, datetime

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def http_time(http_date: str | None) -> float | None:
    """Seconds since 1970 of a date in one of the three forms of HTTP (RFC 9110, 5.6.7), all of which mean GMT.

    ISO 8601, which is that of `creationdate`, is read too.
    """
    text = (http_date or "").strip()
    if not text:
        return None
    try:
        # The form that servers have to send: `Sun, 22 Nov 2026 18:00:00 GMT`.
        if text.endswith(" GMT") and len(text) == 29:
            day, month, year = int(text[5:7]), _MONTHS.index(text[8:11]) + 1, int(text[12:16])
            hour, minute, second = int(text[17:19]), int(text[20:22]), int(text[23:25])
            return datetime(year, month, day, hour, minute, second, tzinfo=UTC).timestamp()
        read = datetime.fromisoformat if text[:4].isdecimal() else email.utils.parsedate_to_datetime
        date = read(text)
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
