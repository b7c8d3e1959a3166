"""A real cluster for a test: KUBECONFIG names it, DOCKER_HOST the engine whose images its node sees."""

import base64
import json
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
IMAGE = "onerun:test"
BASE = os.environ.get("BASE", "python:3.11.13-slim-bookworm")
OVERLAYS = "onerun"  # the namespace that the overlays name
NAMESPACE = "onerun-test"  # another one, since two platforms may share a cluster
OBJECT_STORE = {
    "Deployment": "s3",
    "Service": "s3",
    "PersistentVolumeClaim": "objects",
}  # kind -> name in `dev`
WAIT = "600s"


def need(*programs: str) -> None:
    """Skips, with the reason, where there is no cluster or one of the programs is missing."""
    if not os.environ.get("KUBECONFIG"):
        pytest.skip("KUBECONFIG names no cluster")
    for program in ("kubectl", *programs):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")


def need_node_here() -> None:
    """Skips, with the reason, where a pod on its node's network would not meet this machine's servers and images."""
    if reason := why_not(json.loads(kubectl("get", "nodes", "--output", "json"))["items"]):
        pytest.skip(reason)


def why_not(nodes: Sequence[Mapping[str, Any]]) -> str:
    """Returns: why the platform's tests cannot use these nodes; empty when they can.

    Pods find the object store on 127.0.0.1, volumes in a folder, and the image in the Docker engine that built it: one
    node, which is this machine.
    """
    if len(nodes) != 1:
        return f"the cluster has {len(nodes)} nodes; these tests take one that is this machine"
    status = nodes[0]["status"]
    for address in (
        each["address"] for each in status["addresses"] if each["type"] == "InternalIP"
    ):
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
            try:
                probe.bind((address, 0))
            except OSError:
                return f"the cluster's node, {address}, is not this machine: pods meet neither its servers nor folders"
    runtime = str(status["nodeInfo"]["containerRuntimeVersion"])
    return (
        ""
        if runtime.startswith("docker://")
        else f"the node runs {runtime}, which does not see Docker's images"
    )


def kubectl(*arguments: str, given: str | None = None, check: bool = True) -> str:
    """Returns: what kubectl prints. Raises: AssertionError with what it says."""
    done = subprocess.run(
        ["kubectl", *arguments], input=given, capture_output=True, text=True, timeout=700
    )
    assert not check or done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr}"
    return done.stdout if done.returncode == 0 else done.stderr


def read(kind: str, *selection: str) -> list[dict[str, Any]]:
    """Returns: the objects of a kind in the namespace."""
    held = json.loads(
        kubectl("--namespace", NAMESPACE, "get", kind, *selection, "--output", "json")
    )
    found: list[dict[str, Any]] = held["items"]
    return found


def docker(*arguments: str) -> str:
    """Returns: what docker prints. Raises: AssertionError with what it says."""
    done = subprocess.run(
        ["docker", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=3000
    )
    assert done.returncode == 0, (done.stderr + done.stdout)[-3000:]
    return done.stdout.strip()


def build() -> str:
    """Builds the image from this checkout. Returns: its name. Skips where the base is not to be had."""
    known = subprocess.run(["docker", "image", "inspect", BASE], capture_output=True)
    if (
        known.returncode
        and subprocess.run(["docker", "pull", "--quiet", BASE], capture_output=True).returncode
    ):
        pytest.skip(f"no base image {BASE} here, and it cannot be pulled; BASE names another")
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True
    ).stdout.strip()
    arguments = ("--build-arg", f"BASE={BASE}", "--build-arg", f"COMMIT={commit}", "--tag", IMAGE)
    docker("build", "--network", "host", *arguments, ".")
    return IMAGE


def make_secret(name: str, values: Mapping[str, str]) -> None:
    """Makes or replaces a Secret of the namespace, as docs/kubernetes.md tells people to."""
    data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "data": data,
    }
    kubectl("apply", "--filename", "-", given=json.dumps(secret))


def overlay_here(folder: Path, ports: Mapping[str, int], settings: Mapping[str, str]) -> Path:
    """Writes an overlay of `dev` for a node without a network of pods, without volumes of its own, without a registry.

    Args:
        ports: of prefect, mlflow, worker and exporter, on the node.
        settings: what the ConfigMap says instead.
    Returns: the overlay's folder.
    """
    dev = os.path.relpath(ROOT / "deployments" / "kubernetes" / "overlays" / "dev", folder)
    document = {
        "namespace": NAMESPACE,
        "resources": [dev, "volumes.yaml"],
        "images": [{"name": "onerun", "newName": IMAGE.split(":")[0], "newTag": IMAGE.split(":")[1]}],
        "configMapGenerator": [
            {"name": "onerun", "namespace": OVERLAYS, "behavior": "merge",
             "literals": [f"{name}={value}" for name, value in settings.items()]},
        ],
        "generatorOptions": {"disableNameSuffixHash": True},
        "patches": [
            *[{"patch": yaml.safe_dump(_gone(kind, name))} for kind, name in OBJECT_STORE.items()],
            {"target": {"kind": "Namespace"}, "patch": json.dumps([{
                "op": "replace", "path": "/metadata/labels/pod-security.kubernetes.io~1enforce", "value": "privileged",
            }])},
            *[_on_the_node(name, port) for name, port in ports.items()],
        ],
    }  # fmt: skip
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(document))
    (folder / "volumes.yaml").write_text(
        yaml.safe_dump_all(_volume(folder, name) for name in ("prefect", "mlflow"))
    )
    return folder


def _gone(kind: str, name: str) -> dict[str, Any]:
    """The overlay's object store: the test brings one of its own."""
    version = "apps/v1" if kind == "Deployment" else "v1"
    return {
        "apiVersion": version,
        "kind": kind,
        "metadata": {"name": name, "namespace": OVERLAYS},
        "$patch": "delete",
    }


def _on_the_node(name: str, port: int) -> dict[str, Any]:
    pod = {
        "hostNetwork": True,
        "containers": [{"name": name, "imagePullPolicy": "Never"} | _listening(name, port)],
    }
    if name == "worker":
        pod["volumes"] = [{"name": "kubeconfig", "secret": {"secretName": "kubeconfig"}}]
        pool = [
            "python",
            "-m",
            "deployments.kubernetes",
            "pool",
            "--image",
            IMAGE,
            "--pull",
            "Never",
            "--namespace",
            "$(NAMESPACE)",
            "--host-network",
        ]
        pod["initContainers"] = [{"name": "pool", "imagePullPolicy": "Never", "args": pool}]
    if name == "mlflow":
        pod["initContainers"] = [{"name": "bucket", "imagePullPolicy": "Never"}]
    metadata = {"name": name, "namespace": OVERLAYS}
    patch = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata,
        "spec": {"template": {"spec": pod}},
    }
    return {"patch": yaml.safe_dump(patch)}


def _listening(name: str, port: int) -> dict[str, Any]:
    variable = {
        "prefect": "PREFECT_SERVER_API_PORT",
        "worker": "PREFECT_WORKER_WEBSERVER_PORT",
    }.get(name, "PORT")
    env = [{"name": variable, "value": str(port)}]
    if name != "worker":
        return {
            "env": env,
            "ports": [{"$patch": "replace"}, {"name": "http", "containerPort": port}],
        }
    # without a network of services the API server is not where pods look for it; a kubeconfig holds the account's token
    env += [
        {"name": "KUBERNETES_SERVICE_HOST", "value": ""},
        {"name": "KUBECONFIG", "value": "/etc/cluster/kubeconfig"},
    ]
    mounts = [{"name": "kubeconfig", "mountPath": "/etc/cluster"}]
    return {
        "env": env,
        "volumeMounts": mounts,
        "ports": [{"$patch": "replace"}, {"name": "http", "containerPort": port}],
    }


def _volume(folder: Path, name: str) -> dict[str, Any]:
    data = folder / "data" / name
    data.mkdir(parents=True)
    data.chmod(0o777)  # such a volume does not take on the pod's group
    return {
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": f"onerun-test-{name}"},
        "spec": {
            "capacity": {"storage": "5Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": str(data)},
            "claimRef": {"name": name, "namespace": NAMESPACE}, "persistentVolumeReclaimPolicy": "Retain",
        },
    }  # fmt: skip


def kubeconfig_of(account: str) -> str:
    """Returns: a kubeconfig with the token of a service account, and nothing else of ours; empty while it has none."""
    given = yaml.safe_load(kubectl("config", "view", "--raw", "--minify", "--flatten"))
    token = _token(account)
    given["users"] = [{"name": given["users"][0]["name"], "user": {"token": token}}]
    return yaml.safe_dump(given) if token else ""


def _token(account: str) -> str:
    asked = kubectl(
        "--namespace", NAMESPACE, "create", "token", account, "--duration", "2h", check=False
    ).strip()
    if re.fullmatch(r"[\w-]+\.[\w-]+\.[\w-]+", asked):
        return asked
    for secret in read("secrets"):  # clusters before 1.24 keep one
        if (
            secret["metadata"].get("annotations", {}).get("kubernetes.io/service-account.name")
            == account
        ):
            return base64.b64decode(secret["data"]["token"]).decode()
    return ""
