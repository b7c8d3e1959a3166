"""Who may reach whom: the network policies as a cluster reads them, for each pair of pods and each port.

Evaluated here, since the test cluster has no network of pods in which they would hold.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import pytest
import yaml

from deployments.kubernetes.template import LABELS
from tests.deployments.test_kubernetes_page import PAGE
from tests.deployments.test_manifests import OVERLAYS, of_kind

CLIENTS, NAMES = {"worker", "training", "exporter"}, 53
ASKED = (NAMES, 443, 6443, 5432, 9000)  # of what is outside


@dataclass(frozen=True)
class Party:
    """A pod of the namespace, or what is outside of it: a pod of another namespace, or an address."""

    name: str
    labels: dict[str, str] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)  # by their names
    inside: bool = True
    namespace: dict[str, str] | None = None  # labels of another one


OUTSIDE = Party("outside", inside=False)
PROMETHEUS = Party("prometheus", inside=False, namespace={"onerun.scrape": "true"})
STRANGER = Party("stranger", {"app.kubernetes.io/component": "another"})


def meant(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    assert selector.keys() <= {"matchLabels", "matchExpressions"}
    assert all(each["operator"] == "In" for each in selector.get("matchExpressions", []))
    return all(
        labels.get(key) == value for key, value in selector.get("matchLabels", {}).items()
    ) and all(
        labels.get(each["key"]) in each["values"] for each in selector.get("matchExpressions", [])
    )


def is_peer(peer: dict[str, Any], party: Party) -> bool:
    if "ipBlock" in peer:
        return party is OUTSIDE  # the one address that is asked about
    if "namespaceSelector" in peer:
        assert "podSelector" not in peer
        return party.namespace is not None and meant(peer["namespaceSelector"], party.namespace)
    return party.inside and meant(peer["podSelector"], party.labels)


def lets(
    policies: Iterable[dict[str, Any]], way: str, whose: Party, other: Party, to: Party, port: int
) -> bool:
    """Whether the policies of one side let it through; where no policy is about that side, everything passes."""
    if not whose.inside:
        return True
    about = [
        each
        for each in policies
        if meant(each["podSelector"], whose.labels) and way in each["policyTypes"]
    ]
    peers = "to" if way == "Egress" else "from"
    return not about or any(
        (peers not in rule or any(is_peer(peer, other) for peer in rule[peers]))
        and (
            "ports" not in rule
            or any(to.ports.get(entry["port"], entry["port"]) == port for entry in rule["ports"])
        )
        for policy in about
        for rule in policy.get(way.lower(), [])
    )


def reached(policies: list[dict[str, Any]], parties: list[Party]) -> set[tuple[str, str, int]]:
    """Returns: who reaches whom at which port."""
    return {
        (source.name, target.name, port)
        for source in parties
        for target in parties
        for port in {*ASKED, *(number for party in parties for number in party.ports.values())}
        if source is not target and (source.inside or target.inside)
        if lets(policies, "Egress", source, target, target, port)
        if lets(policies, "Ingress", target, source, target, port)
    }


def of_overlay(overlay: str) -> tuple[list[dict[str, Any]], list[Party]]:
    """Returns: the overlay's policies, and all parties."""
    policies = [found["spec"] for found in of_kind(overlay, "NetworkPolicy").values()]
    parties = [Party("training", LABELS), STRANGER, OUTSIDE, PROMETHEUS]
    for name, found in of_kind(overlay, "Deployment").items():
        template = found["spec"]["template"]
        ports = {
            each["name"]: each["containerPort"]
            for each in template["spec"]["containers"][0]["ports"]
        }
        parties.append(Party(name, template["metadata"]["labels"], ports))
    return policies, parties


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_network_is_closed_but_for_what_is_named(overlay: str) -> None:
    policies, parties = of_overlay(overlay)
    inside = {party.name for party in parties if party.inside}
    wanted = {
        (client, *server) for client in CLIENTS for server in (("prefect", 4200), ("mlflow", 5000))
    }
    wanted |= {("prometheus", "prefect", 4200), ("prometheus", "exporter", 9750)}
    wanted |= {
        ("worker", place, port) for place in ("outside", "prometheus") for port in (443, 6443)
    }
    wanted |= {(name, place, NAMES) for name in inside for place in ("outside", "prometheus")}
    for name in ("mlflow", "training", "exporter"):
        own = {("s3", 9000)} if overlay == "dev" else {("outside", 443), ("prometheus", 443)}
        wanted |= {(name, *place) for place in own}
    if overlay == "production":
        wanted |= {
            (name, place, 5432)
            for name in ("prefect", "mlflow")
            for place in ("outside", "prometheus")
        }
    assert reached(policies, parties) == wanted


def test_the_pages_policy_lets_trainings_reach_their_data_and_nobody_else() -> None:
    policies, parties = of_overlay("production")
    (example,) = re.findall(r"^```\n(apiVersion: networking.*?)```", PAGE, re.MULTILINE | re.DOTALL)
    more = reached([*policies, yaml.safe_load(example)["spec"]], parties) - reached(
        policies, parties
    )
    assert more == {("training", "outside", 5432), ("training", "outside", 9000)}
