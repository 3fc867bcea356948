"""Which format of a QR code a caller wants: `?format=`, else `Accept` as RFC 9110 reads it."""

from app.api.errors import NotAcceptable
from app.errors import InvalidRequest

FORMATS = {"json": "application/json", "png": "image/png", "svg": "image/svg+xml", "txt": "text/plain"}
"""Format → media type, best first where a caller has no preference."""


def choose_format(wanted: str | None, accept: str | None) -> str:
    """A key of FORMATS. Raises InvalidRequest for an unknown `wanted`, NotAcceptable when `accept` has none of ours."""
    if wanted is not None:
        if wanted not in FORMATS:
            raise InvalidRequest(f"`format` must be one of {', '.join(FORMATS)}.")
        return wanted
    if accept is None or not accept.strip():
        return "json"
    ranges = _ranges(accept)
    best = max(FORMATS, key=lambda name: _quality(FORMATS[name], ranges))  # the first of equals
    if _quality(FORMATS[best], ranges) == 0:
        raise NotAcceptable(
            f"A QR code comes as {', '.join(FORMATS.values())}. Ask for one of them in `Accept`, or use ?format="
            f"{'|'.join(FORMATS)}."
        )
    return best


def _ranges(accept: str) -> list[tuple[str, float]]:
    """(media range, quality) of each element; elements that make no sense are left out."""
    found = []
    for element in accept.lower().split(","):
        media_range, *parameters = (part.strip() for part in element.split(";"))
        quality = 1.0
        for parameter in parameters:
            name, _, value = parameter.partition("=")
            if name.strip() == "q":
                quality = _parse_quality(value.strip())
        if "/" in media_range:
            found.append((media_range, quality))
    return found


def _parse_quality(value: str) -> float:
    try:
        quality = float(value)
    except ValueError:
        return 0.0
    return quality if 0 <= quality <= 1 else 0.0


def _quality(media_type: str, ranges: list[tuple[str, float]]) -> float:
    """The quality that the most specific matching range gives; 0 where none matches."""
    for candidate in (media_type, media_type.partition("/")[0] + "/*", "*/*"):
        given = [quality for media_range, quality in ranges if media_range == candidate]
        if given:
            return max(given)
    return 0.0
