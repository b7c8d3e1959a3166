"""The manifests as kustomize renders them: limits, probes, rights, images, and not one credential."""

import json
import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from deployments.kubernetes import __main__ as kubernetes
from deployments.kubernetes import worker
from deployments.kubernetes.template import BUNDLE
from flows import metrics
from onerun.config.profile import OF_OTHER_STORES
from onerun.domain.names import WORK_POOL
from settings.profile import PrefectProfile

FOLDER = Path(__file__).parents[2] / "deployments" / "kubernetes"
OVERLAYS = ("dev", "production")
HOLDS_SECRET = re.compile("PASSWORD|SECRET|AUTH_STRING|ACCESS_KEY|CONNECTION_URL|TOKEN|USERNAME")


@cache
def rendered(overlay: str) -> list[dict[str, Any]]:
    return render(FOLDER / "overlays" / overlay)


def render(folder: Path) -> list[dict[str, Any]]:
    tool = shutil.which("kubectl") or shutil.which("kustomize")
    if not tool:
        pytest.skip("neither kubectl nor kustomize is installed")
    line = [tool, "kustomize" if tool.endswith("kubectl") else "build", str(folder)]
    done = subprocess.run(line, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def of_kind(overlay: str, kind: str) -> dict[str, dict[str, Any]]:
    return {
        found["metadata"]["name"]: found for found in rendered(overlay) if found["kind"] == kind
    }


def pods(overlay: str) -> dict[str, dict[str, Any]]:
    return {
        name: found["spec"]["template"]["spec"]
        for name, found in of_kind(overlay, "Deployment").items()
    }


def containers(overlay: str) -> list[dict[str, Any]]:
    return [
        one
        for pod in pods(overlay).values()
        for one in (*pod.get("initContainers", []), *pod["containers"])
    ]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_everything_is_in_the_namespace(overlay: str) -> None:
    assert {"prefect", "mlflow", "worker"} <= set(pods(overlay)), "the servers and the worker"
    assert set(of_kind(overlay, "Namespace")) == {"onerun"}
    assert {found["metadata"].get("namespace", "onerun") for found in rendered(overlay)} == {
        "onerun"
    }


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_another_namespace_is_one_setting_and_the_pools_jobs_go_there(
    overlay: str, tmp_path: Path
) -> None:
    """Two platforms on one cluster: nothing of the second one is or asks for anything in the first."""
    base = os.path.relpath(FOLDER / "overlays" / overlay, tmp_path)
    document = {"namespace": "team-b", "resources": [base]}
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(document))
    found = render(tmp_path)
    assert {each["metadata"]["name"] for each in found if each["kind"] == "Namespace"} == {"team-b"}
    rest = [each for each in found if each["kind"] != "Namespace"]
    assert {each["metadata"]["namespace"] for each in rest} == {"team-b"}
    text = yaml.safe_dump_all(each for each in found if each["metadata"]["name"] != "dashboard")
    assert not re.search(r"namespace: onerun|[\w-]\.onerun\b|--namespace[= ]onerun", text)
    (deployment,) = [
        each
        for each in rest
        if each["metadata"]["name"] == "worker"
        if "replicas" in each.get("spec", {})
    ]
    pod = deployment["spec"]["template"]["spec"]
    (renews,) = pod["initContainers"]
    own = {"fieldRef": {"fieldPath": "metadata.namespace"}}
    assert {"name": "NAMESPACE", "valueFrom": own} in renews["env"]
    line = [part.replace("$(NAMESPACE)", "team-b") for part in renews["args"][3:]]
    assert kubernetes.parser().parse_args(line).namespace == "team-b"
    watched = {entry["name"]: entry.get("valueFrom") for entry in pod["containers"][0]["env"]}
    assert watched["PREFECT_INTEGRATIONS_KUBERNETES_OBSERVER_NAMESPACES"] == own


def test_the_namespace_stands_in_the_overlays_alone() -> None:
    says = re.compile(r"^namespace:", re.MULTILINE)
    files = [path for path in FOLDER.rglob("*.yaml") if says.search(path.read_text())]
    assert {path.parent.name for path in files} == set(OVERLAYS)


def test_an_overlay_pulls_images_with_a_secret_for_every_pod_and_job(tmp_path: Path) -> None:
    base, extra = (
        os.path.relpath(FOLDER / each, tmp_path)
        for each in ("overlays/production", "components/pull-secret")
    )
    document = {"resources": [base], "components": [extra]}
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(document))
    found = render(tmp_path)
    accounts = [each for each in found if each["kind"] == "ServiceAccount"]
    assert {each["metadata"]["name"] for each in accounts} == {"server", "training", "worker"}
    assert all(each["imagePullSecrets"] == [{"name": "registry"}] for each in accounts)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_p7_no_manifest_holds_a_secret(overlay: str) -> None:
    assert not of_kind(overlay, "Secret")
    for container in containers(overlay):
        for entry in container.get("env", []):
            if HOLDS_SECRET.search(entry["name"]) and not entry["name"].startswith(
                "PREFECT_INTEGRATIONS_"
            ):
                assert "secretKeyRef" in entry["valueFrom"], entry["name"]
            assert "://" not in entry.get("value", "") or "@" not in entry["value"]
    held = of_kind(overlay, "ConfigMap")["onerun"]["data"]
    assert not [name for name in held if HOLDS_SECRET.search(name)]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_container_asks_for_what_it_uses_and_has_a_limit(overlay: str) -> None:
    for container in containers(overlay):
        resources = container["resources"]
        assert set(resources["requests"]) == {"cpu", "memory"} and resources["limits"]["memory"], (
            container["name"]
        )
        pinned = r"onerun:[\w.]+|.*:\d[\w.-]*@sha256:[0-9a-f]{64}"
        assert re.fullmatch(pinned, container["image"]), container["image"]
        context = container["securityContext"]
        assert context["readOnlyRootFilesystem"] and not context["allowPrivilegeEscalation"], (
            container["name"]
        )


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_nobody_is_root_and_the_worker_alone_has_a_token(overlay: str) -> None:
    accounts = of_kind(overlay, "ServiceAccount")
    assert set(accounts) == {"server", "training", "worker"}
    assert not any(account["automountServiceAccountToken"] for account in accounts.values())
    for name, pod in pods(overlay).items():
        assert pod["securityContext"]["runAsNonRoot"] and pod["serviceAccountName"] in accounts
        assert pod.get("automountServiceAccountToken", False) == (name == "worker")


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_worker_is_prefects_with_the_end_of_what_was_cancelled_early(overlay: str) -> None:
    (container,) = pods(overlay)["worker"]["containers"]
    assert container["args"] == ["python", "-m", worker.__name__, "--pool", WORK_POOL]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_worker_may_do_what_it_does_and_no_more(overlay: str) -> None:
    assert not of_kind(overlay, "ClusterRole") and not of_kind(overlay, "ClusterRoleBinding")
    (role,) = of_kind(overlay, "Role").values()
    rights = {
        (resource, verb)
        for rule in role["rules"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    jobs = {("jobs", verb) for verb in ("create", "delete", "get", "list", "watch")}
    assert rights == jobs | {("pods", verb) for verb in ("get", "list", "watch")} | {
        ("pods/log", "get")
    }
    (binding,) = of_kind(overlay, "RoleBinding").values()
    assert [subject["name"] for subject in binding["subjects"]] == ["worker"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_servers_are_probed_where_no_password_is_asked_for(overlay: str) -> None:
    paths = {"prefect": {"/api/health", "/api/ready"}, "mlflow": {"/health"}, "worker": {"/health"}}
    paths |= {"exporter": {"/metrics"}}
    for name, wanted in paths.items():
        (container,) = pods(overlay)[name]["containers"]
        probes = [
            container[probe]
            for probe in ("startupProbe", "livenessProbe", "readinessProbe")
            if probe in container
        ]
        assert {probe["httpGet"]["path"] for probe in probes} == wanted and len(probes) >= 2


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_exporter_is_found_by_prometheus_and_reads_what_it_asks_for(overlay: str) -> None:
    template = of_kind(overlay, "Deployment")["exporter"]["spec"]["template"]
    (container,) = template["spec"]["containers"]
    assert container["args"][:3] == ["python", "-m", "flows.metrics"]
    told = {entry["name"]: entry for entry in container["env"]}
    line = [told["PORT"]["value"] if part == "$(PORT)" else part for part in container["args"]]
    port = metrics.parser().parse_args(line[3:]).port
    assert template["metadata"]["annotations"] == {
        "prometheus.io/scrape": "true", "prometheus.io/port": str(port), "prometheus.io/path": "/metrics",
    }  # fmt: skip
    service = of_kind(overlay, "Service")["exporter"]["spec"]
    assert (
        [entry["port"] for entry in service["ports"]]
        == [entry["containerPort"] for entry in container["ports"]]
        == [port]
    )
    asked = {entry["name"]: entry for entry in pods(overlay)["mlflow"]["containers"][0]["env"]}
    assert told["MLFLOW_ARTIFACTS_DESTINATION"] == asked["MLFLOW_ARTIFACTS_DESTINATION"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_mlflow_sends_objects_as_older_stores_take_them(overlay: str) -> None:
    told = {
        entry["name"]: entry.get("value")
        for entry in pods(overlay)["mlflow"]["containers"][0]["env"]
    }
    assert OF_OTHER_STORES.items() <= told.items()


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_dashboard_is_where_grafanas_sidecar_looks_for_it(overlay: str) -> None:
    found = of_kind(overlay, "ConfigMap")["dashboard"]
    assert found["metadata"]["labels"]["grafana_dashboard"] == "1"
    source = FOLDER.parent / "monitoring" / "dashboard.json"
    assert json.loads(found["data"]["onerun.json"]) == json.loads(source.read_text())


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_configmap_holds_variables_of_a_profile(overlay: str) -> None:
    from onerun.config.profile import variables_of

    known = {
        variable
        for field in PrefectProfile.model_fields
        for variable in variables_of(PrefectProfile, field)
    }
    assert set(of_kind(overlay, "ConfigMap")["onerun"]["data"]) <= known


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_pools_image_is_the_workers(overlay: str) -> None:
    pod = pods(overlay)["worker"]
    (renews,) = pod["initContainers"]
    line = [part.replace("$(IMAGE)", "x") for part in renews["args"]]
    assert line[:3] == [
        "python",
        "-m",
        "deployments.kubernetes",
    ] and kubernetes.parser().parse_args(line[3:])
    said = {entry["name"]: entry.get("value") for entry in renews["env"]}["IMAGE"]
    assert said == renews["image"] == pod["containers"][0]["image"]


def test_a_private_authority_is_trusted_everywhere_when_an_overlay_says_so(tmp_path: Path) -> None:
    rendered("dev")  # skips where nothing renders
    base, extra = (
        os.path.relpath(FOLDER / each, tmp_path)
        for each in ("overlays/production", "components/authority")
    )
    document = {
        "resources": [base],
        "components": [extra],
        "images": [{"name": "onerun", "newName": "my/onerun"}],
    }
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(document))
    deployments = {
        found["metadata"]["name"]: found
        for found in render(tmp_path)
        if found["kind"] == "Deployment"
    }
    for name in ("prefect", "mlflow", "worker", "exporter"):
        pod = deployments[name]["spec"]["template"]["spec"]
        assert {"name": "authority", "configMap": {"name": "authority"}} in pod["volumes"]
        env = {entry["name"]: entry.get("value") for entry in pod["containers"][0]["env"]}
        assert {env[variable] for variable in BUNDLE} == {"/etc/authority/ca.pem"}
        assert any(
            mount["mountPath"] == "/etc/authority" for mount in pod["containers"][0]["volumeMounts"]
        )
    (renews,) = deployments["worker"]["spec"]["template"]["spec"]["initContainers"]
    assert kubernetes.parser().parse_args(renews["args"][3:]).authority == "authority"
    assert "/etc/authority" in {mount["mountPath"] for mount in renews["volumeMounts"]}


def test_dev_keeps_its_data_on_volumes_and_production_keeps_none() -> None:
    claims = of_kind("dev", "PersistentVolumeClaim")
    mounted = {
        volume["persistentVolumeClaim"]["claimName"]
        for pod in pods("dev").values() for volume in pod["volumes"] if "persistentVolumeClaim" in volume
    }  # fmt: skip
    assert mounted == set(claims) == {"prefect", "mlflow", "objects"}
    text = yaml.safe_dump(pods("production")["mlflow"])
    assert "sqlite" not in text and "MLFLOW_BACKEND_STORE_URI" in text


def test_compose_and_dev_start_the_same_object_store() -> None:
    compose = yaml.safe_load((FOLDER.parent / "compose.yaml").read_text())["services"]["s3"]
    (container,) = pods("dev")["s3"]["containers"]
    assert (container["image"], container["args"]) == (compose["image"], compose["command"])
    path, port = (
        container["readinessProbe"]["httpGet"]["path"],
        container["ports"][0]["containerPort"],
    )
    assert compose["healthcheck"]["test"][-1] == f"http://127.0.0.1:{port}{path}"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_manifest_is_good_by_todays_schema(overlay: str) -> None:
    schemas = pytest.importorskip(
        "kubernetes_validate", reason="kubernetes-validate (108 MB) is not installed"
    )
    for manifest in rendered(overlay):
        schemas.validate(manifest, "1.31", strict=True)


def test_a_make_target_runs_what_needs_more_than_the_locks_of_make_test() -> None:
    """Else "checked against today's schemas" would be skipped everywhere."""
    makefile = (FOLDER.parents[1] / "Makefile").read_text()
    needs, recipe = re.findall(
        r"^system-kubernetes:(.*)##.*\n((?:\t.*\n)+)", makefile, re.MULTILINE
    )[0]
    assert "set-up-image" in needs, "its lock pins prefect-kubernetes: the next test"
    assert re.search(r"pip install .*kubernetes-validate==\d", recipe)
    skips = re.compile(r"importorskip\(\s*.(prefect_)?kubernetes")
    asking = {
        path.name
        for path in Path(__file__).parent.glob("test_*.py")
        if skips.search(path.read_text())
    }
    assert (
        asking and {name for name in asking if f"tests/deployments/{name}" not in recipe} == set()
    )


def test_the_images_lock_is_hashed_and_pins_what_the_other_locks_pin() -> None:
    root = FOLDER.parents[1]
    pin = re.compile(r"^([A-Za-z0-9_.-]+)(?:\[[^]]*\])?==([^ ;\\]+)", re.MULTILINE)
    text = (root / "requirements-image.lock").read_text()
    ours, others = (
        dict(pin.findall(text)),
        dict(pin.findall((root / "requirements-dev.lock").read_text())),
    )
    assert {"prefect", "prefect-kubernetes", "psycopg", "flask-wtf"} <= set(ours)
    builder = {
        "hatchling",
        "editables",
        "tomlkit",
        "trove-classifiers",
    }  # the image is not built with it
    needed = dict(pin.findall((root / "requirements.lock").read_text())).keys() - builder
    assert needed <= ours.keys(), "make lock"
    assert {
        name: version for name, version in ours.items() if others.get(name, version) != version
    } == {}
    assert [one for one in re.split(r"\n(?=\S)", text.strip()) if "--hash=sha256:" not in one] == []


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_job_finds_what_it_refers_to(overlay: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """ConfigMap and Secret, as docs/kubernetes.md has it, are the profile that the worker makes the template from."""
    from deployments.kubernetes.template import references

    public = of_kind(overlay, "ConfigMap")["onerun"]["data"]
    (row,) = re.findall(
        r"^\| `onerun` .*\| (.*) \|$",
        (FOLDER.parents[1] / "docs" / "kubernetes.md").read_text(),
        re.M,
    )
    secret = re.findall(r"`(\w+)`", row)
    for name, value in {**public, **dict.fromkeys(secret, "a-value:of-two")}.items():
        monkeypatch.setenv(name, value)
    sources = [entry["valueFrom"] for entry in references(PrefectProfile()) if "valueFrom" in entry]
    assert {
        source["configMapKeyRef"]["key"] for source in sources if "configMapKeyRef" in source
    } == set(public)
    assert {source["secretKeyRef"]["key"] for source in sources if "secretKeyRef" in source} == set(
        secret
    )
