"""The chart of images per hour, as SVG without any script."""

from collections.abc import Sequence

from markupsafe import Markup

from status.summary import Hour

_BAR, _HEIGHT = 10, 80


def chart(hours: Sequence[Hour]) -> Markup:
    """Bars of the last hours: upscaled, and filed above them."""
    top = max([1, *(hour.upscaled + hour.filed for hour in hours)])
    width = _BAR * len(hours)
    bars = []
    for number, hour in enumerate(hours):
        local = f"{hour.start.astimezone():%Y-%m-%d %H:%M}"
        upscaled, filed = (round(_HEIGHT * count / top, 1) for count in (hour.upscaled, hour.filed))
        title = f"<title>{local}: {hour.upscaled} upscaled, {hour.filed} filed</title>"
        bars.append(
            f"<g>{title}"
            f'<rect class="empty" x="{_BAR * number}" y="0" width="{_BAR}" height="{_HEIGHT}"/>'
            f'<rect class="upscaled" x="{_BAR * number + 1}" y="{_HEIGHT - upscaled}"'
            f' width="{_BAR - 2}" height="{upscaled}"/>'
            f'<rect class="filed" x="{_BAR * number + 1}" y="{_HEIGHT - upscaled - filed}"'
            f' width="{_BAR - 2}" height="{filed}"/></g>'
        )
    total = sum(hour.upscaled for hour in hours), sum(hour.filed for hour in hours)
    label = (
        f"Images per hour in the last {len(hours)} hours: {total[0]} upscaled, {total[1]} filed, at most {top} per hour"
    )
    return Markup(  # noqa: S704 - made of numbers and times alone
        f'<svg role="img" aria-label="{label}" viewBox="0 0 {width} {_HEIGHT + 1}" preserveAspectRatio="none">'
        f'{"".join(bars)}<rect class="axis" x="0" y="{_HEIGHT}" width="{width}" height="1"/></svg>'
    )
