"""The base job template of the Kubernetes work pool: every Job's shape, and a deployment's choices.

Prefect fills `{{ variable }}` in; a variable that nothing refers to is ignored without a message.
Credentials are references to a Secret, addresses to a ConfigMap: neither Prefect's database nor a
Job holds a value.
"""

from dataclasses import dataclass
from typing import Any

from pydantic import SecretStr

from onerun.config.addresses import holds_secret
from onerun.config.profile import variables_of
from settings.profile import PrefectProfile

SETTINGS = "onerun"  # the name of the ConfigMap, and of the Secret
CREDENTIALS = frozenset({"tracking_username"})  # no secret by itself, but kept beside its password
ACCOUNT = "training"  # the service account of Jobs: it may nothing
# of pods; the network policies know them by it
LABELS = {"app.kubernetes.io/component": "training"}
USER = 1000  # of the image
# what Prefect, MLflow and S3 clients trust
BUNDLE = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "AWS_CA_BUNDLE")
# seconds between SIGTERM and SIGKILL: the training ends its run, Prefect schedules the flow run
# again
GRACE = 60


@dataclass(frozen=True)
class Place:
    """The cluster's side of the template."""

    image: str
    namespace: str = "onerun"
    pull: str = "IfNotPresent"
    authority: str = ""  # a ConfigMap that holds ca.pem, for servers of a private authority
    pull_secrets: tuple[str, ...] = ()  # for pods whose account names none
    # for clusters without a network of pods; network policies do not hold there
    host_network: bool = False


def job_template(profile: PrefectProfile, place: Place) -> dict[str, Any]:
    """Return the base job template, for pods that see the variables which `profile` sets."""
    return {
        "job_configuration": {
            "name": "{{ name }}",
            "command": "{{ command }}",
            "env": "{{ env }}",
            "labels": "{{ labels }}",
            "namespace": place.namespace,
            "job_manifest": _job(profile, place),
        },
        "variables": {"type": "object", "properties": _variables(place)},
    }


def _job(profile: PrefectProfile, place: Place) -> dict[str, Any]:
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "generateName": "{{ name }}-",
            "namespace": place.namespace,
            "labels": "{{ labels }}",
        },
        "spec": {
            "backoffLimit": 0,  # retries are Prefect's
            # while a pod is ended, Prefect schedules its flow run again
            "podReplacementPolicy": "Failed",
            "activeDeadlineSeconds": "{{ deadline_seconds }}",
            "ttlSecondsAfterFinished": "{{ finished_job_ttl }}",
            "template": {"metadata": {"labels": LABELS}, "spec": _pod(profile, place)},
        },
    }


def _pod(profile: PrefectProfile, place: Place) -> dict[str, Any]:
    more: dict[str, Any] = {"hostNetwork": True} if place.host_network else {}
    if place.pull_secrets:
        more["imagePullSecrets"] = [{"name": name} for name in place.pull_secrets]
    volumes: list[dict[str, Any]] = [{"name": "tmp", "emptyDir": {}}]
    volumes += (
        [{"name": "authority", "configMap": {"name": place.authority}}] if place.authority else []
    )
    return {
        # these two belong to the Job, where they are 1 by default; Prefect's validator requires
        # them here, and Kubernetes drops them
        "completions": 1,
        "parallelism": 1,
        "restartPolicy": "Never",
        "serviceAccountName": ACCOUNT,
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": GRACE,
        "nodeSelector": "{{ node_selector }}",
        "tolerations": "{{ tolerations }}",
        "securityContext": {
            "runAsNonRoot": True, "runAsUser": USER, "runAsGroup": USER, "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "volumes": volumes,
        "containers": [_container(profile, place)],
        **more,
    }  # fmt: skip


def _container(profile: PrefectProfile, place: Place) -> dict[str, Any]:
    resources = {
        "requests": {"cpu": "{{ cpu_request }}", "memory": "{{ memory_request }}"},
        "limits": {
            "cpu": "{{ cpu_limit }}",
            "memory": "{{ memory_limit }}",
            "nvidia.com/gpu": "{{ gpus }}",
        },
    }
    env, mounts = references(profile), [{"name": "tmp", "mountPath": "/tmp"}]
    if place.authority:
        env += [{"name": variable, "value": "/etc/authority/ca.pem"} for variable in BUNDLE]
        mounts.append({"name": "authority", "mountPath": "/etc/authority"})
    return {
        "name": "prefect-job",  # what Prefect's validator and its log forwarding call it
        "image": "{{ image }}",
        "imagePullPolicy": place.pull,
        "args": "{{ command }}",
        "env": env,  # Prefect puts those of `env` before them
        "resources": resources,
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": mounts,
    }  # fmt: skip


def references(profile: PrefectProfile) -> list[dict[str, Any]]:
    """Return a pod's environment: for each variable of the profile where it is found (P7)."""
    found: list[dict[str, Any]] = [{"name": "HOME", "value": "/tmp"}]
    for field in PrefectProfile.model_fields:
        value = getattr(profile, field)
        if field not in profile.model_fields_set or value is None:
            continue
        secret = isinstance(value, SecretStr) or field in CREDENTIALS or holds_secret(str(value))
        key = variables_of(PrefectProfile, field)[0]
        source = {("secretKeyRef" if secret else "configMapKeyRef"): {"name": SETTINGS, "key": key}}
        found += [
            {"name": variable, "valueFrom": source}
            for variable in variables_of(PrefectProfile, field)
        ]
    return found


def _variables(place: Place) -> dict[str, Any]:
    quantity = {"type": "string", "pattern": r"^\d+(\.\d+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$"}
    texts = {"type": "object", "additionalProperties": {"type": "string"}, "default": {}}
    seconds = {"type": "integer", "minimum": 1}
    described: dict[str, tuple[str, dict[str, Any]]] = {
        "name": ("Name of the Job; the flow run's when omitted.", {"type": "string"}),
        "command": ("Command of the pod; Prefect's own when omitted.", {"type": "string"}),
        "env": (
            "More variables of the pod, none secret: they stand in the Job, beside the cluster's.",
            texts,
        ),
        "labels": ("More labels of the Job and its pod.", texts),
        "image": ("Image of the pod.", {"type": "string", "default": place.image}),
        "cpu_request": (
            "Processors it is sure to get, such as 500m or 2.",
            quantity | {"default": "500m"},
        ),
        "cpu_limit": ("Processors it gets at most; as many as are free when omitted.", quantity),
        "memory_request": ("Memory it is sure to get, such as 1Gi.", quantity | {"default": "1Gi"}),
        "memory_limit": ("Memory beyond which it is killed.", quantity | {"default": "4Gi"}),
        "gpus": ("NVIDIA GPUs.", {"type": "integer", "minimum": 1}),
        "node_selector": ("Labels of the nodes it may run on.", texts),
        "tolerations": (
            "Taints it tolerates.",
            {"type": "array", "items": {"type": "object"}, "default": []},
        ),
        "deadline_seconds": (
            "Seconds after which the Job is ended.",
            seconds | {"default": 86_400},
        ),
        "finished_job_ttl": (
            "Seconds that an ended Job stays to be looked at.",
            seconds | {"default": 86_400},
        ),
    }
    return {
        name: {"title": name.replace("_", " ").capitalize(), "description": description, **schema}
        for name, (description, schema) in described.items()
    }
