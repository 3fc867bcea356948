"""Relink: links WhatsApp accounts and keeps them linked."""

__version__ = "0.1.0"
"""The one place that holds the version: the package metadata, `relink version` and the API read it from here."""
