"""The safety net under the logs: takes secrets out of everything that is logged, by field name and by shape.

Code is expected not to log secrets at all; this catches what slips through, such as an exception that quotes a URL.
"""

import functools
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

REDACTED = "[redacted]"

_MAX_DEPTH = 6
"""Nesting beyond this is replaced as a whole: nothing that deep belongs in a log line."""

_SECRET_FIELDS = re.compile(
    r"(?i)(^|[_-])(api[_-]?key|authorization|cookie|password|passwd|secret|token|creds|credentials|root[_-]?key"
    r"|private[_-]?key|pairing[_-]?code|qr|qr[_-]?text|data[_-]?url)$"
)
_PHONE_FIELDS = frozenset({"phone", "jid", "lid"})
_NAME_FIELDS = frozenset({"session", "owner", "replica", "path", "logger", "logger_name"})
"""Fields that hold names, which may be long and look like keys."""

_QR_TEXT = re.compile(r"(?:https://wa\.me/settings/linked_devices#|\b\d@)[^\s\"'<>\\]+")
"""What a QR code says, in the present form and in the older one (`2@REF,KEY,…`)."""

_DATA_URL = re.compile(r"data:image/[a-z+]+[;,][^\s\"'<>\\]+")
_USERINFO = re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://)[^\s/@\"'<>]*@")
_BEARER = re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9+/=._~-]{8,}")
_NAMED = re.compile(r"(?i)\b((?:x-)?api[_-]?key|token|password|secret)([\"']?\s*[=:]\s*[\"']?)[^\s\"'&,;]+")
_HEX = re.compile(r"\b[0-9a-fA-F]{64,}\b")
_BASE64 = re.compile(r"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{40,}={0,2}")
_JID = re.compile(r"\b(\d{3,})(\d{3})((?::\d+)?@(?:s\.whatsapp\.net|lid|c\.us|hosted(?:\.lid)?))\b")
_PHONE = re.compile(r"\d(?=\d{3})")
_LONG = re.compile(r"[A-Za-z0-9+/_-]{40}")
_WORDS = ("@", "linked_devices", "data:", "bearer", "basic", "key", "token", "password", "secret")
"""Every pattern above needs one of these words, or a long run: most texts have neither, and are let through."""


class Redactor:
    """Replaces secrets in values that are to be logged. `secrets`: texts that are secret wherever they appear."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        known = sorted({secret for secret in secrets if len(secret) >= 6}, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, known))) if known else None

    def value(self, value: Any, field: str = "", depth: int = 0) -> Any:
        """`value` without secrets: texts cleaned, containers rebuilt, other objects by their text."""
        if value is None or isinstance(value, bool | int | float):
            return value
        if _is_secret(field) or depth > _MAX_DEPTH:
            return REDACTED
        if type(value) is str:
            return self._leaf(value, field)
        if isinstance(value, Mapping):
            return {key: self.value(item, str(key), depth + 1) for key, item in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self.value(item, field, depth + 1) for item in value]
        return self._leaf(value, field)

    def _leaf(self, value: Any, field: str) -> str:
        if isinstance(value, bytes | bytearray | memoryview):
            return f"[{len(value)} bytes]"
        text = str(value)
        if field in _PHONE_FIELDS and text.isdigit():
            return _PHONE.sub("*", text)
        return self.text(text, name=field in _NAME_FIELDS)

    def text(self, text: str, *, name: bool = False) -> str:
        """`text` without anything that has the shape of a secret; JIDs keep their last three digits.

        `name`: the text is a name or a path, in which long runs of letters and digits are nothing special.
        """
        if self._known is not None:
            text = self._known.sub(REDACTED, text)
        if len(text) < 8 or not _is_suspicious(text):
            return text
        for pattern, replacement in _SHAPES if not name else _SHAPES_IN_NAMES:
            text = pattern.sub(replacement, text)
        return text


@functools.lru_cache(maxsize=1024)
def _is_secret(field: str) -> bool:
    return _SECRET_FIELDS.search(field) is not None


def _is_suspicious(text: str) -> bool:
    if len(text) >= 40 and _LONG.search(text):
        return True
    lower = text.lower()
    return any(word in lower for word in _WORDS)


def _key_material(match: re.Match[str]) -> str:
    """Replace long base64, but leave absolute paths, lower-case names and digests in hexadecimal alone."""
    text = match[0]
    path = text[0] == "/" and text.count("/") * 12 >= len(text)
    mixed = text != text.lower() and text != text.upper()
    return REDACTED if text[-1] == "=" or (mixed and not path) else text


def _mask_jid(match: re.Match[str]) -> str:
    return "*" * len(match[1]) + match[2] + match[3]


_SHAPES_IN_NAMES: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = (
    (_QR_TEXT, REDACTED),
    (_DATA_URL, REDACTED),
    (_USERINFO, rf"\1{REDACTED}@"),
    (_BEARER, rf"\1 {REDACTED}"),
    (_NAMED, rf"\1\2{REDACTED}"),
    (_JID, _mask_jid),
)
_SHAPES = (*_SHAPES_IN_NAMES, (_HEX, REDACTED), (_BASE64, _key_material))
