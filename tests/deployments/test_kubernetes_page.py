"""docs/kubernetes.md: its commands are taken, and make what manifests and Jobs refer to."""

import configparser
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from deployments.kubernetes import __main__ as command
from deployments.kubernetes.template import references
from settings.profile import PrefectProfile
from tests.deployments.test_manifests import OVERLAYS, containers, of_kind, pods

PAGE = (Path(__file__).parents[2] / "docs" / "kubernetes.md").read_text()
CREATE = re.findall(r"^ +(kubectl .*\bcreate .*)$", PAGE, re.MULTILINE)
TABLE = PAGE.partition("| Secret | keys |")[2].partition("\n\n")[0]
SECRETS = dict(re.findall(r"^\| `(\w+)`[^|]* \| (.*) \|$", TABLE, re.MULTILINE))


def created(folder: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """Returns: by kind and name what the page's commands would make, in a folder with the files that they read."""
    if not shutil.which("kubectl"):
        pytest.skip("kubectl is not installed")
    for name in re.findall(r"--from-file=(\S+)", PAGE):
        (folder / name).write_text("[mlflow]\n")
    for name, keys in SECRETS.items():
        (folder / f"{name}.env").write_text(
            "".join(f"{key}=x\n" for key in re.findall(r"`([A-Z_]+)`", keys))
        )
    found = {}
    for line in CREATE:
        asked = [*line.split(), "--dry-run=client", "--output", "yaml"]
        done = subprocess.run(asked, cwd=folder, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, f"{line}: {done.stderr}"
        made = yaml.safe_load(done.stdout)
        found[made["kind"], made["metadata"]["name"]] = made
    return found


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_pages_commands_make_every_secret_that_a_pod_reads(
    overlay: str, tmp_path: Path
) -> None:
    made = created(tmp_path)
    assert {("Namespace", "onerun"), ("ConfigMap", "authority")} <= set(made)
    keys = {name: set(each["data"]) for (kind, name), each in made.items() if kind == "Secret"}
    assert set(keys) == {*SECRETS, "registry"}
    for container in containers(overlay):
        for entry in container.get("env", []):
            if reference := entry.get("valueFrom", {}).get("secretKeyRef"):
                assert reference["key"] in keys[reference["name"]], entry
    volumes = [
        volume for pod in pods(overlay).values() for volume in pod["volumes"] if "secret" in volume
    ]
    assert {volume["secret"]["secretName"] for volume in volumes} == {"accounts"}
    assert keys["accounts"] == {"accounts.ini"}, "where MLFLOW_AUTH_CONFIG_PATH looks for it"


def test_the_pages_accounts_hash_a_password_once_a_minute_and_not_at_each_request() -> None:
    (text,) = re.findall(r"^```\n(\[mlflow\]\n.*?)```", PAGE, re.MULTILINE | re.DOTALL)
    accounts = configparser.ConfigParser()
    accounts.read_string(text)
    assert accounts.getint("mlflow", "auth_cache_ttl_seconds") == 60


def by_hand(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Sets what the page exports before the template. Returns: the names."""
    block = re.findall(
        r"((?:^ +export .*\n)+) +python -m deployments.kubernetes template", PAGE, re.MULTILINE
    )
    variables = dict(re.findall(r"(\w+)=(\S+)", block[0]))
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return set(variables)


def test_the_template_by_hand_refers_to_what_the_clusters_own_refers_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    secret = set(re.findall(r"`([A-Z_]+)`", SECRETS["onerun"]))
    held = {
        "configMapKeyRef": set(of_kind("production", "ConfigMap")["onerun"]["data"]),
        "secretKeyRef": secret,
    }
    names = by_hand(monkeypatch)
    assert names == {*held["configMapKeyRef"], *secret}
    for kind, keys in held.items():
        sources = [
            entry["valueFrom"] for entry in references(PrefectProfile()) if "valueFrom" in entry
        ]
        assert {source[kind]["key"] for source in sources if kind in source} == keys
    for line in re.findall(
        r"^ +python -m deployments.kubernetes (template [^#\n]+)", PAGE, re.MULTILINE
    ):
        assert command.main(line.split()) == 0
        assert (
            json.loads(capsys.readouterr().out)["variables"]["properties"]["image"]["default"]
            == "onerun:dev"
        )


def test_the_page_says_what_restarts_pods_whose_settings_changed() -> None:
    """The names of ConfigMap and Secrets stay, so that Jobs can refer to them; so nothing restarts by itself."""
    said = re.findall(r"kubectl -n onerun rollout restart (\S+)", PAGE)
    assert said == ["deployment/worker", "deployment"] and "worker" in pods("production")
    options = yaml.safe_load(
        (Path(command.__file__).parent / "base" / "kustomization.yaml").read_text()
    )
    assert options["generatorOptions"]["disableNameSuffixHash"]
