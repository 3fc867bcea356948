"""All settings, in one place: environment variables of the same name in capitals, or a `.env` file.

`.env.example` is generated from this class (`relink settings --example`), a test keeps the two the same.
"""

import ipaddress
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from app.model import AuthLayout
from app.store import url

Seconds = Annotated[float, Field(gt=0, le=86_400)]


class Settings(BaseSettings):
    """Durations are in seconds. Raises `pydantic.ValidationError` for values it cannot run with, naming each."""

    model_config = SettingsConfigDict(
        env_file=".env",
        env_file_encoding="utf-8",
        extra="ignore",
        env_ignore_empty=True,
        frozen=True,
        hide_input_in_errors=True,  # it may be a secret
    )

    # Where it listens, and who may call
    host: str = Field("127.0.0.1", description="Address to listen on. Another one than loopback needs API_KEY.")
    published_on_loopback: bool = Field(
        False,
        description="HOST is inside a container whose port the host machine publishes on loopback only "
        "(docker-compose.yml does): it needs no API_KEY then.",
    )
    port: int = Field(3001, ge=0, le=65_535, description="Port to listen on.")
    api_key: SecretStr | None = Field(None, description="Callers send it as `Authorization: Bearer KEY` or X-API-Key.")
    cors_origins: Annotated[list[str], NoDecode] = Field(
        default_factory=list,
        description="Comma-separated origins whose pages may call, such as https://app.example.com.",
    )
    max_body_bytes: int = Field(65_536, ge=1_024, description="Largest request body; a larger one is answered 413.")

    # Redis
    redis_url: str | None = Field(
        None,
        description="redis://, rediss://, unix://, redis+sentinel://HOST:PORT,HOST:PORT/MASTER-NAME, "
        "redis+cluster://HOST:PORT,HOST:PORT; unset: Relink runs a redis-server of its own in DATA_DIR.",
    )
    data_dir: Path = Field(Path("data"), description="Where the embedded Redis keeps its data.")
    key_prefix: str = Field("relink", pattern=r"^[A-Za-z0-9_.-]{1,32}$", description="First part of all Redis keys.")
    auth_layout: AuthLayout = Field(
        AuthLayout.HASH,
        description="Auth state in Redis: hash (one hash a session) or keys (one key a field).",
    )
    redis_timeout: Seconds = Field(5, description="How long a request may wait for Redis before it is answered 503.")

    # WhatsApp
    whatsapp_url: str | None = Field(None, description="WebSocket URL of another server, such as the simulator.")
    whatsapp_root_key: str | None = Field(
        None, pattern=r"^[0-9a-fA-F]{64}$", description="That server's trust root, 64 hex digits. Loopback URLs only."
    )
    whatsapp_version: str | None = Field(
        None,
        pattern=r"^\d+\.\d+\.\d+$",
        description="WhatsApp Web version to report when the built-in one is refused (405).",
    )
    device_name: str = Field("Relink", min_length=1, max_length=40, description="What the phone lists the link as.")
    bridge_processes: int = Field(1, ge=1, le=64, description="Node processes that hold the sockets.")

    # Replicas
    replica_id: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9_.-]{1,64}$",
        description="Name of this replica; unset: made from host name and chance.",
    )
    replica_ttl: Seconds = Field(6, description="A replica not heard of for so long is taken for dead.")
    max_sessions: int = Field(1_000, ge=1, description="Sessions that one replica takes at most.")

    # Deadlines
    qr_wait: Seconds = Field(20, description="How long generate-qr waits for a code.")
    start_timeout: Seconds = Field(30, description="`starting` is given up after this long without a QR code.")
    link_timeout: Seconds = Field(60, description="`linking` is given up after this long.")
    connect_timeout: Seconds = Field(30, description="One try of `connecting` is given up after this long.")
    logout_timeout: Seconds = Field(10, description="Clear without WhatsApp's consent after this long.")
    stop_timeout: Seconds = Field(5, description="How long stop waits for the owner to close the socket.")
    bridge_timeout: Seconds = Field(4, description="A bridge process that is silent for so long is replaced.")
    keep_alive: Seconds = Field(
        20, description="WhatsApp is asked for a sign of life this often; silence is noticed within twice that and 5 s."
    )
    shutdown_timeout: Seconds = Field(10, description="How long an orderly stop of the service may take.")
    qr_lifetime: Seconds | None = Field(
        None, description="Lifetime of each QR code; unset: WhatsApp's own, 60 s for the first and 20 s for the others."
    )

    # Reconnecting
    backoff_base: Seconds = Field(
        1, description="First reconnect waits up to this long; each further one up to twice that."
    )
    backoff_cap: Seconds = Field(60, description="No reconnect waits longer than this.")
    resume_rate: float = Field(20, gt=0, description="Sessions a second that are resumed at boot or after a failover.")

    # Logs
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Least level that is logged.")
    log_format: Literal["auto", "console", "json"] = Field("auto", description="auto: console on a terminal.")

    @field_validator("cors_origins", mode="before")
    @classmethod
    def _split_origins(cls, value: object) -> object:
        if isinstance(value, str):
            return [origin.strip().rstrip("/") for origin in value.split(",") if origin.strip()]
        return value

    @field_validator("redis_url")
    @classmethod
    def _readable(cls, value: str | None) -> str | None:
        if value is not None:
            url.parse(value)
        return value

    @field_validator("log_level", "log_format", "auth_layout", mode="before")
    @classmethod
    def _fold_case(cls, value: object, info: object) -> object:
        if isinstance(value, str):
            return value.upper() if getattr(info, "field_name", "") == "log_level" else value.lower()
        return value

    @model_validator(mode="after")
    def _refuse_unsafe(self) -> Self:
        if not self.loopback_only and self.api_key is None:
            raise ValueError(
                f"HOST={self.host} lets other machines in, and no API_KEY is set. "
                "Set API_KEY to a long random text (for example `openssl rand -hex 32`), or HOST=127.0.0.1. "
                "In a container whose port is published on loopback only: PUBLISHED_ON_LOOPBACK=true."
            )
        if self.api_key is not None and len(self.api_key.get_secret_value()) < 16:
            raise ValueError("API_KEY is too short to be safe: use at least 16 characters (`openssl rand -hex 32`).")
        if self.whatsapp_root_key is not None:
            if self.whatsapp_url is None:
                raise ValueError("WHATSAPP_ROOT_KEY is set without WHATSAPP_URL: set both, or neither.")
            if not is_loopback(_host_of(self.whatsapp_url)):
                raise ValueError(
                    "WHATSAPP_ROOT_KEY is accepted only with a loopback WHATSAPP_URL (127.0.0.1, ::1, localhost): "
                    "a real connection always checks WhatsApp's own certificate."
                )
        return self

    @cached_property
    def loopback_only(self) -> bool:
        """Whether only programs of this machine can reach the service."""
        return is_loopback(self.host) or self.published_on_loopback


def is_loopback(host: str) -> bool:
    """Whether `host` (name or address, without port) can only mean this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _host_of(url: str) -> str:
    return urlsplit(url).hostname or ""
