"""docker-compose.yml and the Dockerfile are safe, name only real settings, and leave nothing in or out by mistake."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.settings import Settings, is_loopback

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
DOCKERFILE = (ROOT / "Dockerfile").read_text()
SERVICES = COMPOSE["services"]
OURS = [name for name, service in SERVICES.items() if service["image"] == "relink"]
SCALED = ["relink", "relink-2", "relink-3"]
INTERPOLATED = re.compile(r"\$\{([A-Z_]+):-([^}]*)\}")


def interpolate(text: str) -> str:
    """As compose does it where nothing is set: each variable at its default."""
    return INTERPOLATED.sub(lambda match: match[2], text)


def environment(name: str) -> dict[str, str]:
    return {key: interpolate(value) for key, value in SERVICES[name]["environment"].items()}


def of_profile(profile: str | None) -> list[str]:
    return [name for name in SERVICES if SERVICES[name].get("profiles") == ([profile] if profile else None)]


def test_each_profile_starts_what_it_says() -> None:
    assert of_profile(None) == ["relink", "redis"]
    assert of_profile("demo") == ["demo"]
    assert SERVICES["demo"]["command"] == ["demo"]
    assert of_profile("scale") == ["relink-2", "relink-3", "balancer"]
    assert len(SERVICES) == 6


def test_the_replicas_of_scale_are_alike() -> None:
    first = {**SERVICES["relink"]}
    assert first.pop("ports")
    assert first.pop("volumes") == ["relink-data:/data"]
    for name in SCALED[1:]:
        assert SERVICES[name] == {**first, "profiles": ["scale"], "tmpfs": SERVICES[name]["tmpfs"]}
        assert SERVICES[name]["tmpfs"][1].startswith("/data:"), "the image's volume would stay behind, one a container"


@pytest.mark.parametrize("name", OURS)
def test_every_variable_is_a_setting_and_the_service_starts_with_them(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = environment(name)
    assert set(given) <= {field.upper() for field in Settings.model_fields}
    for field in Settings.model_fields:
        monkeypatch.delenv(field.upper(), raising=False)
    for key, value in given.items():
        monkeypatch.setenv(key, value)
    settings = Settings(_env_file=None)
    assert not is_loopback(settings.host), "nothing outside the container could reach it"
    assert str(settings.redis_url).startswith("redis://redis:")


@pytest.mark.parametrize("name", SERVICES)
def test_ports_are_published_on_loopback_only(name: str) -> None:
    for port in SERVICES[name].get("ports", ()):
        address, _, _ = interpolate(port).split(":")
        assert is_loopback(address), port


@pytest.mark.parametrize("name", [name for name in OURS if name not in SCALED[1:]])
def test_the_published_port_is_the_one_that_is_listened_on(name: str) -> None:
    (port,) = SERVICES[name]["ports"]
    assert interpolate(port).split(":")[2] == environment(name)["PORT"]
    assert interpolate(port).split(":")[1] == environment(name)["PORT"]  # so that printed addresses are true


def test_only_replicas_of_one_service_share_keys() -> None:
    prefixes = {name: environment(name).get("KEY_PREFIX", Settings.model_fields["key_prefix"].default) for name in OURS}
    assert {prefixes[name] for name in SCALED} == {"relink"}
    assert prefixes["demo"] != "relink"
    assert set(prefixes) == {*SCALED, "demo"}


@pytest.mark.parametrize("name", OURS)
def test_a_stop_is_given_the_time_that_it_may_take(name: str) -> None:
    seconds = int(SERVICES[name]["stop_grace_period"].removesuffix("s"))
    assert seconds > Settings.model_fields["shutdown_timeout"].default + 10


def test_redis_keeps_its_data() -> None:
    command = " ".join(SERVICES["redis"]["command"])
    assert "--appendonly yes" in command
    assert "--maxmemory-policy noeviction" in command
    (volume,) = SERVICES["redis"]["volumes"]
    assert volume.split(":")[0] in COMPOSE["volumes"]
    assert "ports" not in SERVICES["redis"]


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_has_a_health_check(name: str) -> None:
    assert SERVICES[name]["healthcheck"]["test"][0] == "CMD"


@pytest.mark.parametrize("name", SERVICES)
def test_volumes_are_declared_and_mounted_files_are_there(name: str) -> None:
    for volume in SERVICES[name].get("volumes", ()):
        source = volume.split(":")[0]
        assert (ROOT / source).is_file() if source.startswith("./") else source in COMPOSE["volumes"]


def test_images_are_pinned_and_the_image_is_not_root() -> None:
    assert ":" in SERVICES["redis"]["image"]
    assert ":" in SERVICES["balancer"]["image"]
    assert re.search(r"^ARG PYTHON_IMAGE=python:3\.\d+-slim-\w+$", DOCKERFILE, re.MULTILINE)
    final = DOCKERFILE.split("FROM ")[-1]
    assert re.search(r"^USER relink$", final, re.MULTILINE)
    assert re.search(r"^HEALTHCHECK .*relink", final, re.MULTILINE)
    assert 'ENTRYPOINT ["relink"]' in final


def test_variables_of_the_image_are_settings() -> None:
    final = DOCKERFILE.split("FROM ")[-1]
    block = re.search(r"^ENV (.*(?:\\\n.*)*)", final, re.MULTILINE)
    assert block is not None
    names = set(re.findall(r"(\w+)=", block[1])) - {"PATH", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE"}
    assert names <= {field.upper() for field in Settings.model_fields}
    assert "API_KEY" not in names


def test_all_that_is_copied_is_sent_to_the_builder() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert ignored[1] == "*", "everything is left out but what is named"
    sent = [line.removeprefix("!") for line in ignored if line.startswith("!")]
    for line in re.findall(r"^COPY (?!--from)(.*)$", DOCKERFILE, re.MULTILINE):
        *sources, _ = line.split()
        for source in sources:
            assert (ROOT / source).exists(), source
            assert any(source == one or source.startswith(f"{one}/") for one in sent), source
    for secret in (".env", "data", ".git"):
        assert secret not in sent


def test_every_npm_workspace_is_known_to_the_image() -> None:
    """`npm ci` refuses a lock whose workspaces are not all there."""
    import json

    for workspace in json.loads((ROOT / "package.json").read_text())["workspaces"]:
        assert f"COPY {workspace}/package.json" in DOCKERFILE
