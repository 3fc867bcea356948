"""Which format a caller wants, as RFC 9110 reads `Accept`."""

import pytest

from app.api.accept import choose_format
from app.api.errors import NotAcceptable
from app.errors import InvalidRequest

CHROME_PAGE = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8"
CHROME_IMAGE = "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, "json"),
        ("", "json"),
        ("*/*", "json"),
        (CHROME_PAGE, "json"),
        (CHROME_IMAGE, "png"),
        ("image/png", "png"),
        ("IMAGE/PNG", "png"),
        ("image/*", "png"),
        ("image/svg+xml", "svg"),
        ("image/svg+xml, image/png", "png"),
        ("image/svg+xml, image/png;q=0.9", "svg"),
        ("text/plain", "txt"),
        ("text/plain; charset=utf-8", "txt"),
        ("text/*;q=0.5, image/*;q=0.4", "txt"),
        ("application/json;q=0.1, image/png;q=0.2", "png"),
        ("application/problem+json, image/png", "png"),
        ("*/*;q=0.1, image/svg+xml", "svg"),
        ("*/*, application/json;q=0", "png"),
        ("image/*, image/png;q=0", "svg"),
        ("garbage, image/png", "png"),
        ("image/png;q=2, text/plain;q=0.1", "txt"),
        (" image/png ; q=1.0 ", "png"),
    ],
)
def test_choices(accept: str | None, expected: str) -> None:
    assert choose_format(None, accept) == expected


@pytest.mark.parametrize("accept", ["video/mp4", "image/png;q=0", "*/*;q=0", "garbage", ";;;,,,", "application/xml"])
def test_impossible_wishes(accept: str) -> None:
    with pytest.raises(NotAcceptable, match="image/png"):
        choose_format(None, accept)


def test_format_wins_over_accept() -> None:
    assert choose_format("svg", "image/png") == "svg"
    assert choose_format("txt", "video/mp4") == "txt"
    with pytest.raises(InvalidRequest, match="json, png, svg, txt"):
        choose_format("gif", "image/png")
    with pytest.raises(InvalidRequest):
        choose_format("", None)
