"""The platform on a real cluster: manifests, image, least rights, a training.

`make system-kubernetes`; it asks for KUBECONFIG, and DOCKER_HOST where the node's engine is another than the default.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from sklearn.datasets import load_wine

from tests.servers import S3_KEY, S3_SECRET, asked, free_port
from tests.system.cluster import (
    IMAGE,
    NAMESPACE,
    ROOT,
    WAIT,
    build,
    docker,
    kubeconfig_of,
    kubectl,
    make_secret,
    need,
    need_node_here,
    overlay_here,
    read,
)  # fmt: skip
from tests.system.running import final, until

pytestmark = [pytest.mark.long, pytest.mark.timeout(3600)]
PREFECT, MLFLOW = ("onerun", "a-password-for-prefect"), ("admin", "a-password-for-mlflow")
SECRETS = (PREFECT[1], MLFLOW[1], S3_SECRET, S3_KEY)
SERVICES = ("prefect", "mlflow", "worker", "exporter")
PATIENCE = 900.0  # seconds; the machine may be busy
ACCOUNTS = """\
[mlflow]
default_permission = READ
database_uri = sqlite:////data/accounts.db
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
auth_cache_ttl_seconds = 60
"""


SCRIPT = """
import os, time
import mlflow, pandas
from sklearn.dummy import DummyRegressor
train = pandas.read_parquet(os.environ["ONERUN_TRAIN_DATA"])
target = os.environ["ONERUN_TARGET"]
model = DummyRegressor().fit(train.drop(columns=[target]), train[target])
{more}
mlflow.sklearn.save_model(model, os.environ["ONERUN_MODEL_DIR"], skops_trusted_types=["sklearn.dummy.DummyRegressor"])
"""
SLEEPS = "time.sleep(40)"
EATS = """
held = bytearray(1_800_000_000)
held[::4096] = bytes(len(held[::4096]))
print("had the memory")
"""


@pytest.fixture(scope="module")
def image() -> str:
    need("docker")
    return build()


@pytest.fixture(scope="module")
def namespace() -> Iterator[str]:
    """An empty one; another with this name would be somebody's."""
    need()
    if NAMESPACE in kubectl("get", "namespaces", "--output", "name"):
        pytest.skip(f"the cluster has a namespace {NAMESPACE} already; the test would remove it")
    kubectl("create", "namespace", NAMESPACE)
    yield NAMESPACE
    kubectl("delete", "namespace", NAMESPACE, "--timeout", WAIT)
    kubectl(
        "delete",
        "persistentvolume",
        "onerun-test-prefect",
        "onerun-test-mlflow",
        "--ignore-not-found",
    )


@dataclass(frozen=True)
class Platform:
    """What the manifests brought up."""

    api: str
    mlflow_uri: str
    exporter: str

    def ask(self, method: str, path: str, **more: Any) -> Any:
        """Returns: what Prefect's API answers."""
        answer = asked(method, f"{self.api}{path}", auth=PREFECT, **more)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def run(self, deployment: str, **body: Any) -> UUID:
        """Returns: a new flow run of a deployment."""
        found = self.ask("GET", f"/deployments/name/{deployment}")
        body["parameters"] = found["parameters"] | body.get("parameters", {})
        made = self.ask(
            "POST",
            f"/deployments/{found['id']}/create_flow_run",
            json=body | {"state": {"type": "SCHEDULED"}},
        )
        return UUID(made["id"])

    def over(self, flow_run: UUID) -> Any:
        """Returns: the state that it ended in; None before."""
        return final(self.ask("GET", f"/flow_runs/{flow_run}")["state"])

    def ended(self, flow_run: UUID) -> str:
        """Returns: the type of the state that it ended in."""
        return str(until(lambda: self.over(flow_run), f"end of {flow_run}", PATIENCE)["type"])

    def retry(self, flow_run: UUID) -> None:
        """What the button of that name in the UI does."""
        state = {"type": "SCHEDULED", "name": "AwaitingRetry"}
        self.ask("POST", f"/flow_runs/{flow_run}/set_state", json={"state": state, "force": True})

    def mlflow_runs(self, flow_run: UUID) -> list[Run]:
        """Returns: the MLflow runs of a flow run."""
        client = MlflowClient(self.mlflow_uri)
        experiments = [found.experiment_id for found in client.search_experiments()]
        return list(client.search_runs(experiments, f"tags.`onerun.flow_run_id` = '{flow_run}'"))

    def log(self, flow_run: UUID) -> str:
        """Returns: what the flow run logged, as Prefect keeps it."""
        chosen = {"flow_run_id": {"any_": [str(flow_run)]}}
        lines = self.ask("POST", "/logs/filter", json={"limit": 200, "logs": chosen})
        return "\n".join(line["message"] for line in lines)

    def at_work(self, flow_run: UUID) -> bool:
        """Whether its training has begun."""
        return any("onerun.stage.validate" in run.data.tags for run in self.mlflow_runs(flow_run))


@pytest.fixture(scope="module")
def platform(image: str, namespace: str, s3_server: str) -> Iterator[Platform]:
    """Prefect, MLflow and the worker as `dev` has them, with passwords, on free ports of the node."""
    need_node_here()
    ports = {name: free_port() for name in SERVICES}
    api, uri = f"http://127.0.0.1:{ports['prefect']}/api", f"http://127.0.0.1:{ports['mlflow']}"
    settings = {
        "PREFECT_API_URL": api,
        "MLFLOW_TRACKING_URI": uri,
        "MLFLOW_S3_ENDPOINT_URL": s3_server,
    }
    make_secrets()
    patch = pytest.MonkeyPatch()
    with tempfile.TemporaryDirectory(prefix="onerun-k8s-", ignore_cleanup_errors=True) as temporary:
        Path(temporary).chmod(0o755)
        folder = overlay_here(Path(temporary), ports, settings)
        kubectl("apply", "--filename", "-", given=accounts(folder))
        make_secret("kubeconfig", {"kubeconfig": until(lambda: kubeconfig_of("worker"), "a token")})
        kubectl("apply", "--kustomize", str(folder))
        for name in SERVICES:
            kubectl(
                "--namespace",
                NAMESPACE,
                "rollout",
                "status",
                f"deployment/{name}",
                "--timeout",
                WAIT,
            )
        patch.setenv("MLFLOW_TRACKING_USERNAME", MLFLOW[0])
        patch.setenv("MLFLOW_TRACKING_PASSWORD", MLFLOW[1])
        yield Platform(api, uri, f"http://127.0.0.1:{ports['exporter']}/metrics")
        patch.undo()
        for name in SERVICES:
            kubectl("--namespace", NAMESPACE, "delete", "deployment", name, "--timeout", WAIT)


def make_secrets() -> None:
    keys = {"AWS_ACCESS_KEY_ID": S3_KEY, "AWS_SECRET_ACCESS_KEY": S3_SECRET}
    accounts = {"MLFLOW_TRACKING_USERNAME": MLFLOW[0], "MLFLOW_TRACKING_PASSWORD": MLFLOW[1]}
    make_secret("onerun", {"PREFECT_API_AUTH_STRING": ":".join(PREFECT), **accounts, **keys})
    make_secret("prefect", {"PREFECT_SERVER_API_AUTH_STRING": ":".join(PREFECT)})
    make_secret("mlflow", {"MLFLOW_FLASK_SERVER_SECRET_KEY": "signs-forms-of-a-test"})
    make_secret("accounts", {"accounts.ini": ACCOUNTS})


def accounts(folder: Path) -> str:
    """Returns: the service accounts alone, so that the worker's token is there before its pod."""
    import yaml

    rendered = yaml.safe_load_all(kubectl("kustomize", str(folder)))
    return yaml.safe_dump_all(found for found in rendered if found["kind"] == "ServiceAccount")


@pytest.mark.parametrize("overlay", ["dev", "production"])
def test_every_manifest_is_accepted_by_the_api_server(
    namespace: str, overlay: str, tmp_path: Path
) -> None:
    folder = ROOT / "deployments" / "kubernetes" / "overlays" / overlay
    document = {"namespace": namespace, "resources": [os.path.relpath(folder, tmp_path)]}
    (tmp_path / "kustomization.yaml").write_text(json.dumps(document))
    said = kubectl("apply", "--dry-run=server", "--kustomize", str(tmp_path))
    assert said.count("(server dry run)") == kubectl("kustomize", str(tmp_path)).count("\nkind: ")


def test_the_image_is_whole_and_holds_nothing_else(image: str) -> None:
    (held,) = json.loads(docker("image", "inspect", image))
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True
    ).stdout.strip()
    assert held["Config"]["Labels"]["org.opencontainers.image.revision"] == commit
    assert (
        f"ONERUN_COMMIT={commit}" in held["Config"]["Env"] and held["Config"]["User"] == "1000:1000"
    )
    run = ("run", "--rm", "--network", "host", image)
    assert docker(*run, "id", "-u") == "1000"
    files = docker(*run, "ls", "-A", "/opt/onerun").split()
    assert {"flows", "recipes", "prefect.yaml"} <= set(files)
    assert not {".env", ".git", ".venv", ".onerun", "tests", "docs"} & set(files)
    docker(
        *run, "python", "-c", "import flows.train, prefect_kubernetes, psycopg, flask_wtf, lightgbm"
    )


def test_the_image_trains_and_serves_what_it_trained(image: str) -> None:
    """As docs/kubernetes.md says; on the node's network, which is the only one here."""
    data, name, port = f"onerun-test-{free_port()}", "onerun-test-served", free_port()
    run = (
        "run",
        "--network",
        "host",
        "--workdir",
        "/data",
        "--volume",
        f"{data}:/data",
        "--name",
        name,
    )
    try:
        said = docker(
            *run,
            "--rm",
            image,
            "python",
            "-m",
            "flows.train",
            "--recipe",
            "/opt/onerun/recipes/wine.yaml",
        )
        assert "champion moved to wine version 1" in said
        serve = (
            "--env-manager",
            "local",
            "--model-uri",
            "models:/wine@champion",
            "--port",
            str(port),
        )
        docker(*run, "--detach", image, "python", "-m", "mlflow", "models", "serve", *serve)
        features = load_wine(as_frame=True).data.iloc[[0, 100]].to_dict("records")

        def answer() -> Any:
            with suppress(httpx.TransportError):
                return httpx.post(
                    f"http://127.0.0.1:{port}/invocations", json={"dataframe_records": features}
                ).json()

        assert until(answer, "an answer", PATIENCE)["predictions"] == ["class_0", "class_1"]
    finally:
        docker("rm", "--force", name)
        docker("volume", "rm", "--force", data)


def test_nobody_gets_in_without_the_right_password(platform: Platform) -> None:
    for auth in (None, ("onerun", "wrong")):
        assert (
            httpx.post(f"{platform.api}/flows/filter", json={}, auth=auth, timeout=60).status_code
            == 401
        )
        answer = httpx.get(
            f"{platform.mlflow_uri}/api/2.0/mlflow/experiments/get?experiment_id=0",
            auth=auth,
            timeout=60,
        )
        assert answer.status_code == 401
    assert platform.ask("POST", "/flows/filter", json={}) is not None
    pages = httpx.get(
        platform.api.removesuffix("/api"), auth=PREFECT, timeout=60, follow_redirects=True
    )
    assert pages.status_code == 200 and "Prefect" in pages.text


def test_a_restarted_pod_loses_no_metadata(platform: Platform) -> None:
    made = MlflowClient(platform.mlflow_uri).create_experiment("before-the-restart")
    before = {
        pod["metadata"]["name"]
        for pod in read("pods", "--selector", "app.kubernetes.io/component=mlflow")
    }
    kubectl("--namespace", NAMESPACE, "delete", "pod", *before, "--timeout", WAIT)
    kubectl("--namespace", NAMESPACE, "rollout", "status", "deployment/mlflow", "--timeout", WAIT)
    after = {
        pod["metadata"]["name"]
        for pod in read("pods", "--selector", "app.kubernetes.io/component=mlflow")
    }
    assert before.isdisjoint(after)
    assert (
        MlflowClient(platform.mlflow_uri).get_experiment_by_name("before-the-restart").experiment_id
        == made
    )


MAY = {
    ("create", "jobs.batch"),
    ("delete", "jobs.batch"),
    ("get", "pods/log"),
    ("watch", "pods"),
    ("watch", "jobs.batch"),
}
VERBS = ("get", "list", "watch", "create", "update", "patch", "delete")
KINDS = (
    "secrets",
    "configmaps",
    "pods/exec",
    "serviceaccounts",
    "roles.rbac.authorization.k8s.io",
    "deployments.apps",
)


@pytest.mark.parametrize("account", ["worker", "training", "server"])
def test_an_account_may_do_what_it_does_and_anything_else_is_refused(
    platform: Platform, account: str
) -> None:
    def may(verb: str, kind: str, namespace: str = NAMESPACE) -> bool:
        resource, _, part = kind.partition("/")
        account_of = f"system:serviceaccount:{NAMESPACE}:{account}"
        more = ("--subresource", part) if part else ()
        asked = (
            "auth",
            "can-i",
            verb,
            resource,
            *more,
            "--namespace",
            namespace,
            "--as",
            account_of,
        )
        return kubectl(*asked, check=False).strip().endswith("yes")

    assert {right for right in MAY if may(*right)} == (MAY if account == "worker" else set())
    assert [(verb, kind) for verb in VERBS for kind in KINDS if may(verb, kind)] == []
    refused = [
        ("create", "pods"),
        ("delete", "pods"),
        ("patch", "pods"),
        ("patch", "jobs.batch"),
        ("update", "jobs.batch"),
    ]
    assert [right for right in refused if may(*right)] == []
    assert not may("create", "jobs.batch", "default") and not may("list", "namespaces", "")


@pytest.fixture(scope="module")
def deployment(platform: Platform) -> str:
    """A training, deployed to the cluster by the command that people use; its recipe is as it was."""
    deploy(platform, "diabetes")
    return "train/diabetes"


def deploy(platform: Platform, name: str) -> None:
    line = ["--no-prompt", "deploy", "--name", name, "--pool", "onerun"]
    variables = ["--job-variable", "memory_limit=3Gi", "--job-variable", "cpu_request=100m"]
    account = {
        "PREFECT_API_URL": platform.api,
        "PREFECT_API_AUTH_STRING": ":".join(PREFECT),
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(
        [sys.executable, "-m", "prefect", *line, *variables],
        cwd=ROOT, env={**os.environ, **account}, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def job_of(flow_run: UUID) -> dict[str, Any]:
    """Returns: the flow run's newest Job."""
    found = read("jobs", "--selector", f"prefect.io/flow-run-id={flow_run}")
    return max(found, key=lambda job: str(job["metadata"]["creationTimestamp"]))


def recipe(name: str, more: str) -> dict[str, str]:
    data = {"source": "sklearn:diabetes", "target": "target"}
    command = ["python", "-c", SCRIPT.format(more=more)]
    return {"recipe": json.dumps({"name": name, "task": "regression", "data": data,
                                  "train": {"run_in": "command", "command": command}}, indent=1)}  # fmt: skip


def test_a_pod_trains_and_its_job_holds_references_alone(
    platform: Platform, deployment: str
) -> None:
    flow_run = platform.run(deployment)
    assert platform.ended(flow_run) == "COMPLETED"
    (run,) = platform.mlflow_runs(flow_run)
    assert run.info.status == "FINISHED" and run.data.tags["mlflow.source.git.commit"]
    client = MlflowClient(platform.mlflow_uri)
    assert client.get_model_version_by_alias("diabetes", "champion").run_id == run.info.run_id

    job = job_of(flow_run)
    assert not any(secret in json.dumps(job) for secret in SECRETS)
    pod = job["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    env = {entry["name"]: entry for entry in container["env"]}
    for name in ("MLFLOW_TRACKING_PASSWORD", "PREFECT_API_AUTH_STRING", "AWS_SECRET_ACCESS_KEY"):
        assert env[name]["valueFrom"] == {"secretKeyRef": {"name": "onerun", "key": name}}
    assert env["ONERUN_STORE"]["valueFrom"] == {
        "configMapKeyRef": {"name": "onerun", "key": "ONERUN_STORE"}
    }
    assert (
        job["metadata"]["labels"]["prefect.io/flow-run-id"]
        == str(flow_run)
        == run.data.tags["onerun.flow_run_id"]
    )
    assert pod["metadata"]["labels"]["app.kubernetes.io/component"] == "training"
    assert len(read("pods", "--selector", f"prefect.io/flow-run-id={flow_run}")) == 1, (
        "the pod is found by it, too"
    )
    assert container["resources"] == {
        "requests": {"cpu": "100m", "memory": "1Gi"}, "limits": {"memory": "3Gi"},
    }  # fmt: skip
    assert (container["image"], job["spec"]["backoffLimit"]) == (IMAGE, 0)
    assert (
        pod["spec"]["serviceAccountName"] == "training"
        and pod["spec"]["automountServiceAccountToken"] is False
    )
    assert (
        container["securityContext"]["readOnlyRootFilesystem"]
        and pod["spec"]["securityContext"]["runAsNonRoot"]
    )


def test_the_exporter_tells_of_trainings_and_measures_artifacts(
    platform: Platform, deployment: str
) -> None:
    assert platform.ended(platform.run(deployment)) == "COMPLETED"
    kubectl(
        "--namespace", NAMESPACE, "rollout", "restart", "deployment/exporter"
    )  # it measures artifacts once an hour

    def told() -> str:
        try:
            text = httpx.get(platform.exporter, timeout=60).text
        except httpx.TransportError:  # the old pod is gone, the new one not there yet
            return ""
        finished = re.search(r'onerun_trainings\{recipe="diabetes",state="finished"\} [1-9]', text)
        return (
            text
            if finished and re.search(r'onerun_store_size_bytes\{part="artifacts"\} [1-9]', text)
            else ""
        )

    text = until(told, "a look at the training", PATIENCE)
    assert "\nonerun_up 1.0\n" in text and "\nonerun_prefect_up 1.0\n" in text
    assert not any(secret in text for secret in SECRETS)


def test_model_and_snapshot_are_in_the_object_store(
    platform: Platform, deployment: str, s3_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from onerun.storage import filesystem

    keys = {
        "MLFLOW_S3_ENDPOINT_URL": s3_server,
        "AWS_ACCESS_KEY_ID": S3_KEY,
        "AWS_SECRET_ACCESS_KEY": S3_SECRET,
    }
    for name, value in keys.items():
        monkeypatch.setenv(name, value)
    version = MlflowClient(platform.mlflow_uri).get_model_version_by_alias("diabetes", "champion")
    held = filesystem("s3://onerun/x").find("onerun")
    model_id = str(version.source).rsplit("/", 1)[-1]
    assert any(f"/{model_id}/" in path for path in held) and any(
        path.startswith("onerun/data/") for path in held
    )


def test_p7_the_pools_template_and_prefects_database_hold_no_credential(
    platform: Platform, deployment: str
) -> None:
    held = json.dumps(
        [
            platform.ask("GET", "/work_pools/onerun"),
            platform.ask("POST", "/deployments/filter", json={}),
        ]
    )
    assert not any(secret in held for secret in SECRETS)


def limit_memory(platform: Platform, deployment: str, memory: str) -> None:
    """As a person does on the deployment's page; its next Jobs have it."""
    found = platform.ask("GET", f"/deployments/name/{deployment}")
    variables = found["job_variables"] | {"memory_limit": memory}
    platform.ask("PATCH", f"/deployments/{found['id']}", json={"job_variables": variables})


def test_p1_a_pod_out_of_memory_is_told_and_the_retry_finishes_in_the_same_run(
    platform: Platform, deployment: str
) -> None:
    """The kernel ends the largest process, here the training, or the whole pod, where nobody is left to say so."""
    limit_memory(platform, deployment, "1600Mi")
    flow_run = platform.run(deployment, parameters=recipe("short-of-memory", EATS))
    ended = platform.ended(flow_run)
    assert ended in ("FAILED", "CRASHED")
    (before,) = platform.mlflow_runs(flow_run)
    job = job_of(flow_run)["metadata"]["name"]

    def end() -> dict[str, Any] | None:  # the pod ends a moment after its flow run
        (pod,) = read("pods", "--selector", f"job-name={job}")
        (status,) = pod["status"]["containerStatuses"]
        ended: dict[str, Any] | None = status["state"].get("terminated")
        return ended

    assert until(end, "the pod's end", PATIENCE)["reason"] == "OOMKilled"
    if ended == "FAILED":
        assert before.info.status == "FAILED"
        until(lambda: "out of memory, perhaps" in platform.log(flow_run), "the log", PATIENCE)
    else:
        assert before.info.status == "RUNNING", (
            "killed without a word: the reconciler's to settle, or the retry's"
        )

    limit_memory(platform, deployment, "5Gi")
    platform.retry(flow_run)
    assert platform.ended(flow_run) == "COMPLETED"
    (after,) = platform.mlflow_runs(flow_run)
    assert (after.info.run_id, after.info.status) == (before.info.run_id, "FINISHED")
    assert after.data.tags["onerun.attempt"] == "2"


def test_p1_a_pod_that_is_deleted_while_training_goes_on_in_another_in_the_same_run(
    platform: Platform, deployment: str
) -> None:
    """What a drained node does: the run reads KILLED, the flow run is scheduled again by itself.

    Jobs of clusters before 1.29 make another pod as well (docs/decisions/0014): one of the two trains, whichever comes
    first, or Prefect ends the second one for the first one's lease, and a person retries.
    """
    flow_run = platform.run(deployment, parameters=recipe("moved-away", SLEEPS))
    until(lambda: platform.at_work(flow_run), "the training's begin", PATIENCE)
    first = job_of(flow_run)["metadata"]["name"]
    kubectl(
        "--namespace", NAMESPACE, "delete", "pod", "--selector", f"job-name={first}", "--wait=false"
    )
    until(
        lambda: platform.mlflow_runs(flow_run)[0].info.status == "KILLED", "the run's end", PATIENCE
    )
    until(
        lambda: job_of(flow_run)["metadata"]["name"] != first or platform.over(flow_run),
        "another Job",
        PATIENCE,
    )
    if platform.ended(flow_run) == "CRASHED":
        until(lambda: "Concurrency lease renewal failed" in platform.log(flow_run), "why", PATIENCE)
        platform.retry(flow_run)
    assert platform.ended(flow_run) == "COMPLETED"
    (run,) = platform.mlflow_runs(flow_run)
    assert run.info.status == "FINISHED" and run.data.tags["onerun.attempt"] in ("2", "3")
    assert len(MlflowClient(platform.mlflow_uri).search_model_versions("name = 'moved-away'")) == 1


def test_a_pod_that_cannot_start_is_named_and_cancelled_within_a_minute(
    platform: Platform, deployment: str
) -> None:
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

    from flows.reconciling.flow_runs import FlowRuns

    flow_run = platform.run(deployment, job_variables={"image": "onerun:there-is-no-such-tag"})

    def state() -> dict[str, Any]:
        found: dict[str, Any] = platform.ask("GET", f"/flow_runs/{flow_run}")["state"]
        return found

    until(lambda: state()["name"] == "InfrastructurePending", "its pod", PATIENCE)
    account = {PREFECT_API_URL: platform.api, PREFECT_API_AUTH_STRING: ":".join(PREFECT)}
    with temporary_settings(account), get_client(sync_client=True) as client:
        waiting = FlowRuns(client).not_started(timedelta(minutes=-1))
    (found,) = [each for each in waiting if each.flow_run.flow_run_id == str(flow_run)]
    assert found.pool == "kubernetes"

    begun = time.monotonic()
    platform.ask("POST", f"/flow_runs/{flow_run}/set_state", json={"state": {"type": "CANCELLING"}})
    assert platform.ended(flow_run) == "CANCELLED" and time.monotonic() - begun < 60
    selector = f"prefect.io/flow-run-id={flow_run}"
    until(lambda: not read("jobs", "--selector", selector), "the Job's end", PATIENCE)


def test_the_doctor_finds_all_well_inside_a_pod(platform: Platform, deployment: str) -> None:
    deploy(platform, "doctor")
    flow_run = platform.run("doctor/doctor", parameters={"pool": "onerun"})
    assert platform.ended(flow_run) == "COMPLETED", platform.log(flow_run)

    def findings() -> str:  # they are sent to Prefect in batches
        log = platform.log(flow_run)
        return log if "one object written" in log else ""

    said = until(findings, "the findings", PATIENCE)
    assert not any(secret in said for secret in SECRETS)
