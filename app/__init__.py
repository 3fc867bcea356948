"""Relink: links WhatsApp accounts and keeps them linked."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("relink")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"
