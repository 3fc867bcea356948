"""deploy/kubernetes: what refers to something refers to something that exists, and every setting is one."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from dotenv import dotenv_values

from app import __version__
from app.main import create_app
from app.settings import Settings

ROOT = Path(__file__).parents[2]
BASE = ROOT / "deploy" / "kubernetes" / "base"
TRIAL = ROOT / "deploy" / "kubernetes" / "trial"
DOCKERFILE = (ROOT / "Dockerfile").read_text()
SETTINGS = {field.upper() for field in Settings.model_fields}

Object = dict[str, Any]


def objects(directory: Path) -> list[Object]:
    """What the kustomization adds up, patches and generated ones aside; labels as it sets them."""
    kustomization = kustomization_of(directory)
    found: list[Object] = []
    for name in kustomization["resources"]:
        path = (directory / name).resolve()
        found += objects(path) if path.is_dir() else list(yaml.safe_load_all(path.read_text()))
    for labels in kustomization.get("labels", ()):
        assert labels["includeSelectors"], "else the selectors would match more than ours"
        for one in found:
            for holder in holders_of_labels(one):
                holder.update(labels["pairs"])
    return found


def holders_of_labels(one: Object) -> list[dict[str, str]]:
    spec = one["spec"]
    holders: list[dict[str, str]] = [one["metadata"].setdefault("labels", {})]
    if "template" in spec:
        holders += [spec["selector"]["matchLabels"], spec["template"]["metadata"]["labels"]]
    elif "selector" in spec:
        holders.append(spec["selector"].get("matchLabels", spec["selector"]))
    return holders


def kustomization_of(directory: Path) -> Object:
    content: Object = yaml.safe_load((directory / "kustomization.yaml").read_text())
    return content


ALL = objects(TRIAL)
"""The trial has everything: it is the base with a Redis."""


def the(kind: str, name: str) -> Object:
    (found,) = [one for one in ALL if (one["kind"], one["metadata"]["name"]) == (kind, name)]
    return found


DEPLOYMENT = the("Deployment", "relink")
POD = DEPLOYMENT["spec"]["template"]["spec"]
(CONTAINER,) = POD["containers"]
GENERATED = {one["name"]: one for one in kustomization_of(BASE)["configMapGenerator"]}
WORKLOADS = [one for one in ALL if "template" in one["spec"]]


def settings_of_the_map() -> dict[str, str | None]:
    (file,) = GENERATED["relink-settings"]["envs"]
    return dict(dotenv_values(BASE / file))


def test_every_file_is_used_and_every_file_that_is_named_is_there() -> None:
    for directory in (BASE, TRIAL):
        kustomization = kustomization_of(directory)
        named = {*kustomization["resources"], *(patch["path"] for patch in kustomization.get("patches", ()))}
        for generator in kustomization.get("configMapGenerator", ()):
            named |= set(generator["envs"])
        assert {file.name for file in directory.iterdir()} == {"kustomization.yaml", *named} - {"../base"}


def test_every_variable_is_a_setting_and_the_service_starts_with_them(monkeypatch: pytest.MonkeyPatch) -> None:
    (reference,) = CONTAINER["envFrom"]
    assert reference["configMapRef"]["name"] in GENERATED
    from_secret = {entry["name"] for entry in CONTAINER["env"]}
    values = settings_of_the_map()
    assert from_secret == {"API_KEY", "REDIS_URL"}
    assert not from_secret & set(values)
    assert set(values) <= SETTINGS
    for field in SETTINGS:
        monkeypatch.delenv(field, raising=False)
    for name, value in {**values, "HOST": "0.0.0.0", "API_KEY": "k" * 32, "REDIS_URL": "redis://r:6379/0"}.items():
        monkeypatch.setenv(name, str(value))
    Settings(_env_file=None)


def test_secrets_are_referred_to_and_never_written_down() -> None:
    comment = (BASE / "kustomization.yaml").read_text()
    for entry in CONTAINER["env"]:
        reference = entry["valueFrom"]["secretKeyRef"]
        assert reference == {"name": "relink", "key": entry["name"]}
        assert f"--from-literal={entry['name']}=" in comment
    assert "kubectl create secret generic relink" in comment
    assert not [one for one in ALL if one["kind"] == "Secret"]


def test_the_image_is_the_one_of_the_dockerfile() -> None:
    (image,) = kustomization_of(BASE)["images"]
    assert (image["name"], image["newTag"]) == (CONTAINER["image"], __version__)
    assert 'ENTRYPOINT ["relink"]' in DOCKERFILE
    assert CONTAINER["args"] == ["serve"]
    (uid,) = re.findall(r"useradd --uid (\d+)", DOCKERFILE)
    assert POD["securityContext"]["runAsUser"] == int(uid)
    (port,) = CONTAINER["ports"]
    assert f"EXPOSE {port['containerPort']}\n" in DOCKERFILE
    assert "PORT" not in settings_of_the_map()
    (volume,) = re.findall(r"^VOLUME (\S+)$", DOCKERFILE, re.MULTILINE)
    assert volume in {mount["mountPath"] for mount in CONTAINER["volumeMounts"]}, "the root file system is read-only"


@pytest.mark.parametrize("probe", ["startupProbe", "readinessProbe", "livenessProbe"])
def test_probes_ask_what_exists(probe: str) -> None:
    asked = CONTAINER[probe]["httpGet"]
    assert asked["path"] in create_app(Settings(_env_file=None)).openapi()["paths"]
    assert asked["port"] in {port["name"] for port in CONTAINER["ports"]}
    assert asked["path"] == ("/health/ready" if probe == "readinessProbe" else "/health/live")


def test_a_stop_is_given_the_time_that_it_may_take() -> None:
    stop = float(settings_of_the_map()["SHUTDOWN_TIMEOUT"] or 0)
    _, pause = CONTAINER["lifecycle"]["preStop"]["exec"]["command"]
    assert POD["terminationGracePeriodSeconds"] >= float(pause) + stop + 10


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda one: one["metadata"]["name"])
def test_workloads_are_confined(workload: Object) -> None:
    pod = workload["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    for container in pod["containers"]:
        context = container["securityContext"]
        assert context["readOnlyRootFilesystem"] is True
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert {"requests", "limits"} == set(container["resources"])
        mounted = {mount["name"] for mount in container["volumeMounts"]}
        claims = {claim["metadata"]["name"] for claim in workload["spec"].get("volumeClaimTemplates", ())}
        assert mounted == {volume["name"] for volume in pod.get("volumes", ())} | claims


@pytest.mark.parametrize("one", ALL, ids=lambda one: f"{one['kind']}-{one['metadata']['name']}")
def test_selectors_select_exactly_one_workload(one: Object) -> None:
    spec = one["spec"]
    selector = spec.get("selector") or spec["podSelector"]
    wanted = selector.get("matchLabels", selector)
    chosen = [work for work in WORKLOADS if wanted.items() <= work["spec"]["template"]["metadata"]["labels"].items()]
    assert [work["metadata"]["name"] for work in chosen] == [one["metadata"]["name"]]
    if one["kind"] == "Service":
        (container,) = chosen[0]["spec"]["template"]["spec"]["containers"]
        assert {port["targetPort"] for port in spec["ports"]} <= {port["name"] for port in container["ports"]}


def test_the_replicas_are_three_and_go_one_by_one() -> None:
    spec = DEPLOYMENT["spec"]
    assert spec["replicas"] == 3
    assert spec["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    assert the("PodDisruptionBudget", "relink")["spec"]["maxUnavailable"] == 1
    assert the("Service", "relink")["spec"]["sessionAffinity"] == "ClientIP"
    (spread,) = POD["topologySpreadConstraints"]
    labels = spec["template"]["metadata"]["labels"]
    assert spread["labelSelector"]["matchLabels"].items() <= labels.items()


def test_the_trial_has_a_redis_that_keeps_its_data_and_that_the_replicas_use() -> None:
    patch = yaml.safe_load((TRIAL / "redis-url.yaml").read_text())
    assert (patch["kind"], patch["metadata"]["name"]) == ("Deployment", "relink")
    (container,) = patch["spec"]["template"]["spec"]["containers"]
    assert container["name"] == CONTAINER["name"]
    (entry,) = container["env"]
    service = the("Service", "relink-redis")
    (port,) = service["spec"]["ports"]
    assert entry == {
        "name": "REDIS_URL",
        "value": f"redis://{service['metadata']['name']}:{port['port']}/0",
        "valueFrom": None,
    }
    (redis,) = the("StatefulSet", "relink-redis")["spec"]["template"]["spec"]["containers"]
    command = " ".join(redis["args"])
    assert "--appendonly yes" in command
    assert "--maxmemory-policy noeviction" in command
    (source,) = the("NetworkPolicy", "relink-redis")["spec"]["ingress"][0]["from"]
    labels = DEPLOYMENT["spec"]["template"]["metadata"]["labels"]
    assert source["podSelector"]["matchLabels"].items() <= labels.items()
