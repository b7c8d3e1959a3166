"""The Kubernetes pool's base job template: every variable is used, no value gets in, Prefect takes it."""

import json
import os
import re
from collections.abc import Iterator
from typing import Any

import pytest

from deployments.kubernetes.__main__ import main
from deployments.kubernetes.pool import write_pool
from deployments.kubernetes.template import BUNDLE, LABELS, Place, job_template
from settings.profile import PrefectProfile
from tests.servers import asked

PUBLIC = {
    "MLFLOW_TRACKING_URI": "http://mlflow:5000",
    "PREFECT_API_URL": "http://prefect:4200/api",
    "ONERUN_STORE": "s3://onerun/data",
    "MLFLOW_S3_ENDPOINT_URL": "http://s3:9000",
}
SECRET = {
    "MLFLOW_TRACKING_USERNAME": "hush-user",
    "MLFLOW_TRACKING_PASSWORD": "hush-tracking",
    "PREFECT_API_AUTH_STRING": "me:hush-prefect",
    "AWS_ACCESS_KEY_ID": "hush-key",
    "AWS_SECRET_ACCESS_KEY": "hush-secret",
}


@pytest.fixture
def in_the_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**PUBLIC, **SECRET}.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def template(in_the_cluster: None) -> dict[str, Any]:
    return job_template(PrefectProfile(), Place("onerun:1"))


def pod(template: dict[str, Any]) -> dict[str, Any]:
    spec: dict[str, Any] = template["job_configuration"]["job_manifest"]["spec"]["template"]["spec"]
    return spec


def test_every_variable_is_referred_to_and_every_reference_is_a_variable(
    template: dict[str, Any],
) -> None:
    used = set(re.findall(r"\{\{ (\w+) \}\}", json.dumps(template["job_configuration"])))
    assert used == set(template["variables"]["properties"]), (
        "Prefect ignores what is not referred to, without a word"
    )


def test_every_variable_is_described_in_its_form(template: dict[str, Any]) -> None:
    for name, schema in template["variables"]["properties"].items():
        assert len(schema["description"]) > 8 and schema["title"] and schema["type"], name


def test_p7_addresses_are_in_the_configmap_credentials_in_the_secret_and_no_value_here(
    template: dict[str, Any],
) -> None:
    env = {entry["name"]: entry.get("valueFrom") for entry in pod(template)["containers"][0]["env"]}
    for name in PUBLIC:
        assert env[name] == {"configMapKeyRef": {"name": "onerun", "key": name}}
    for name in SECRET:
        assert env[name] == {"secretKeyRef": {"name": "onerun", "key": name}}
    assert set(env) == {*PUBLIC, *SECRET, "HOME", "AWS_ENDPOINT_URL_S3"}, (
        "what the profile does not set is not asked for"
    )
    text = json.dumps(template)
    assert [value for value in (*PUBLIC.values(), *SECRET.values()) if value in text] == []


def test_p7_an_address_with_a_password_is_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:hush@mlflow:5000")
    template = job_template(PrefectProfile(), Place("onerun:1"))
    (found,) = [
        entry
        for entry in pod(template)["containers"][0]["env"]
        if entry["name"] == "MLFLOW_TRACKING_URI"
    ]
    assert "secretKeyRef" in found["valueFrom"] and "hush" not in json.dumps(template)


def test_a_private_authority_is_trusted_by_all_clients_of_a_pod() -> None:
    spec = pod(job_template(PrefectProfile(), Place("onerun:1", authority="our-ca")))
    assert {"name": "authority", "configMap": {"name": "our-ca"}} in spec["volumes"]
    (container,) = spec["containers"]
    trusted = {entry["value"] for entry in container["env"] if entry["name"] in BUNDLE}
    assert trusted == {container["volumeMounts"][-1]["mountPath"] + "/ca.pem"}


def test_a_pod_has_no_rights_and_is_not_root(template: dict[str, Any]) -> None:
    spec = pod(template)
    assert (
        spec["automountServiceAccountToken"] is False and spec["serviceAccountName"] == "training"
    )
    assert spec["securityContext"]["runAsNonRoot"] and "hostNetwork" not in spec
    context = spec["containers"][0]["securityContext"]
    assert context["readOnlyRootFilesystem"] and context["capabilities"] == {"drop": ["ALL"]}


def test_jobs_are_made_in_the_namespace_and_pull_with_the_secrets_that_were_named(
    in_the_cluster: None, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["template", "--image", "onerun:1", "--namespace", "team-b"]
    assert main([*line, "--pull-secret", "registry", "--pull-secret", "mirror"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert made["job_configuration"]["namespace"] == "team-b"
    assert made["job_configuration"]["job_manifest"]["metadata"]["namespace"] == "team-b"
    assert pod(made)["imagePullSecrets"] == [{"name": "registry"}, {"name": "mirror"}]
    assert main(line) == 0
    assert "imagePullSecrets" not in pod(json.loads(capsys.readouterr().out))


def filled(template: dict[str, Any], **values: Any) -> Any:
    import asyncio

    worker = pytest.importorskip(
        "prefect_kubernetes.worker", reason="the extra kubernetes is not installed"
    )
    configuration = worker.KubernetesWorkerJobConfiguration
    return asyncio.run(configuration.from_template_and_values(template, values)).job_manifest


def test_what_prefects_worker_makes_of_it(template: dict[str, Any]) -> None:
    job = filled(
        template, gpus=1, node_selector={"kind": "gpu"}, memory_limit="8Gi", deadline_seconds=60, image="onerun:2",
        tolerations=[{"key": "gpu", "operator": "Exists"}],
    )  # fmt: skip
    spec = job["spec"]["template"]["spec"]
    assert spec["containers"][0]["resources"] == {
        "requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"memory": "8Gi", "nvidia.com/gpu": 1},
    }  # fmt: skip
    assert spec["nodeSelector"] == {"kind": "gpu"} and spec["tolerations"] == [
        {"key": "gpu", "operator": "Exists"}
    ]
    assert (job["spec"]["activeDeadlineSeconds"], spec["containers"][0]["image"]) == (
        60,
        "onerun:2",
    )
    plain = filled(template)["spec"]["template"]["spec"]["containers"][0]
    assert (
        "nvidia.com/gpu" not in plain["resources"]["limits"]
        and "cpu" not in plain["resources"]["limits"]
    )


def test_job_and_pod_carry_the_flow_runs_id_and_the_pod_what_the_network_policies_know_it_by(
    template: dict[str, Any],
) -> None:
    import asyncio
    from uuid import uuid4

    from prefect.client.schemas.objects import FlowRun

    worker = pytest.importorskip(
        "prefect_kubernetes.worker", reason="the extra kubernetes is not installed"
    )
    configuration = asyncio.run(
        worker.KubernetesWorkerJobConfiguration.from_template_and_values(template, {})
    )
    flow_run = FlowRun(flow_id=uuid4())
    configuration.prepare_for_flow_run(flow_run)
    job = configuration.job_manifest
    for labels in (job["metadata"]["labels"], job["spec"]["template"]["metadata"]["labels"]):
        assert labels["prefect.io/flow-run-id"] == str(flow_run.id)
    assert LABELS.items() <= job["spec"]["template"]["metadata"]["labels"].items()


def test_a_job_is_good_by_todays_schema(template: dict[str, Any]) -> None:
    schemas = pytest.importorskip(
        "kubernetes_validate", reason="kubernetes-validate (108 MB) is not installed"
    )
    job = filled(template, gpus=1, command="true")
    job["spec"]["template"]["spec"]["containers"][0]["args"] = ["true"]  # Prefect splits it later
    for name in (
        "completions",
        "parallelism",
    ):  # known: Prefect's validator wants them where Kubernetes drops them
        del job["spec"]["template"]["spec"][name]
    schemas.validate(job, "1.31", strict=True)


@pytest.fixture
def pool(prefect_api: str, in_the_cluster: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    from prefect.settings import PREFECT_API_AUTH_STRING, temporary_settings

    monkeypatch.setenv("PREFECT_API_URL", prefect_api)
    with temporary_settings(restore_defaults={PREFECT_API_AUTH_STRING}):
        yield "kubernetes-tried"


def test_the_pool_is_made_once_and_renewed(
    pool: str, prefect_api: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def written(image: str) -> str:
        """As a command of its own: what it sets in its environment is gone with it."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "environ", os.environ.copy())
            assert main(["pool", "--pool", pool, "--image", image]) == 0
        return capsys.readouterr().out

    assert written("onerun:1") == f"{pool}: made\n"
    assert written("onerun:1") == f"{pool}: unchanged\n"
    asked(
        "PATCH", f"{prefect_api}/work_pools/{pool}", json={"concurrency_limit": 3}
    ).raise_for_status()
    assert written("onerun:2") == f"{pool}: changed\n"
    held = asked("GET", f"{prefect_api}/work_pools/{pool}").json()
    assert held["base_job_template"]["variables"]["properties"]["image"]["default"] == "onerun:2"
    assert (held["type"], held["concurrency_limit"]) == ("kubernetes", 3)
    assert "hush" not in json.dumps(held)


def test_p5_a_pool_of_another_type_is_left_alone(
    prefect_api: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from deployments.pools import make_process_pool
    from onerun.config.mistakes import Mistakes

    make_process_pool("taken")
    with pytest.raises(Mistakes, match="of type process"):
        write_pool({}, "taken")


def test_p5_what_pods_cannot_share_is_a_mistake(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    assert main(["template", "--image", "onerun:1"]) == 2
    said = capsys.readouterr().err
    assert all(name in said for name in ("MLFLOW_TRACKING_URI", "PREFECT_API_URL", "ONERUN_STORE"))
