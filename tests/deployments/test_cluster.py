"""Which clusters the tests of the platform take: pods there must meet this machine's servers, folders and images."""

from typing import Any

import pytest

from tests.system.cluster import why_not


def node(address: str = "127.0.0.1", runtime: str = "docker://20.10.24") -> dict[str, Any]:
    addresses = [
        {"type": "InternalIP", "address": address},
        {"type": "Hostname", "address": "a-node"},
    ]
    return {"status": {"addresses": addresses, "nodeInfo": {"containerRuntimeVersion": runtime}}}


def test_a_cluster_whose_one_node_is_this_machine_is_taken() -> None:
    assert why_not([node()]) == ""


@pytest.mark.parametrize(
    ("nodes", "words"),
    [
        (
            [node("203.0.113.7")],
            "203.0.113.7, is not this machine",
        ),  # elsewhere, or a container as kind and k3d have
        ([node(runtime="containerd://1.7.2")], "does not see Docker's images"),
        ([node(), node()], "2 nodes"),
        ([], "0 nodes"),
    ],
)
def test_others_are_skipped_at_once_with_the_reason(
    nodes: list[dict[str, Any]], words: str
) -> None:
    assert words in why_not(nodes)
