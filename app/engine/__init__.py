"""Sockets to WhatsApp. `base` is the protocol; `baileys` the real engine; `memory` the one for unit tests."""
