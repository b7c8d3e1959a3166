"""deployments/compose.yaml: pinned, on loopback, healthy before others start, and without a credential in it."""

import configparser
import os
import re
import shutil
import subprocess
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml

from deployments import worker
from flows import metrics
from flows.checking import checkup
from onerun.config.profile import OF_OTHER_STORES

ROOT = Path(__file__).parents[2]
FILE = ROOT / "deployments" / "compose.yaml"
TEXT = FILE.read_text()
DOCUMENT: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = DOCUMENT["services"]
ONCE = {"bucket", "deploy"}  # they do something and end
NEEDED = set(re.findall(r"\$\{(\w+):\?", TEXT))


def test_it_holds_the_services_that_the_stack_has() -> None:
    assert set(SERVICES) == {
        "postgres", "s3", "bucket", "prefect", "mlflow", "deploy", "worker", "exporter", "prometheus", "grafana",
    }  # fmt: skip


@pytest.mark.parametrize("name", SERVICES)
def test_every_image_is_pinned_every_port_is_loopback_every_service_tells_its_health(
    name: str,
) -> None:
    service = SERVICES[name]
    if "build" in service:
        assert service["image"] == "onerun:local"
    else:
        assert re.fullmatch(r"[\w./-]+:v?\d+\.\d+[\w.-]*@sha256:[0-9a-f]{64}", service["image"])
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    assert (name in ONCE) == ("healthcheck" not in service)
    assert service["restart"] == ("no" if name in ONCE else "unless-stopped")
    for other, how in service.get("depends_on", {}).items():
        ended = "service_completed_successfully" if other in ONCE else "service_healthy"
        assert how == {"condition": ended}, f"{name} must wait until {other} is done"


def test_every_credential_is_named_and_stands_in_dot_env_alone() -> None:
    example = (ROOT / ".env.example").read_text()
    assert {
        name for name in re.findall(r"^# (\w+)=$", example, re.MULTILINE) if name in NEEDED
    } == NEEDED
    assert set(re.findall(r"\$\{(\w+)", TEXT)) == {*NEEDED, "COMMIT"}, (
        "a variable that is missing must be an error"
    )
    for service in SERVICES.values():
        for variable, value in service.get("environment", {}).items():
            if re.search(
                "PASSWORD|SECRET|AUTH_STRING|ACCESS_KEY|CONNECTION_URL|BACKEND_STORE", variable
            ):
                assert "${" in value, variable


def test_the_object_store_is_reached_by_those_alone_who_have_its_credentials() -> None:
    """Of SeaweedFS's ports only the S3 gateway's asks for any."""
    reaches = {name for name, each in SERVICES.items() if "objects" in each.get("networks", [])} - {
        "s3"
    }
    assert reaches == {
        name
        for name, each in SERVICES.items()
        if "MLFLOW_S3_ENDPOINT_URL" in each.get("environment", {})
    }
    assert SERVICES["s3"]["networks"] == ["objects"] and SERVICES["s3"]["ports"] == [
        "127.0.0.1:9000:9000"
    ]
    assert {"-ip=127.0.0.1", "-master.telemetry=false", "-s3.autoCreateBucket=false"} <= set(
        SERVICES["s3"]["command"]
    )
    assert {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} <= SERVICES["s3"]["environment"].keys()


def test_the_least_version_of_compose_is_said_in_the_file_and_on_the_page() -> None:
    """`configs` with `content` came with 2.23.1."""
    assert any("content" in each for each in DOCUMENT["configs"].values())
    page = (ROOT / "docs" / "containers.md").read_text()
    assert all("Docker Compose 2.23.1 or later" in text for text in (TEXT, page))


def test_every_volume_and_configuration_is_declared_and_used() -> None:
    used = {
        volume.partition(":")[0]
        for service in SERVICES.values()
        for volume in service.get("volumes", [])
    }
    assert used == set(DOCUMENT["volumes"])
    sources = {
        entry["source"] for service in SERVICES.values() for entry in service.get("configs", [])
    }
    assert sources == set(DOCUMENT["configs"])
    accounts = configparser.ConfigParser()
    accounts.read_string(DOCUMENT["configs"]["accounts"]["content"])
    assert accounts["mlflow"]["database_uri"] == "sqlite:////data/accounts.db"
    assert accounts["mlflow"]["auth_cache_ttl_seconds"] == "60", (
        "the password is not hashed at each request"
    )
    for name, held in DOCUMENT["configs"].items():
        text = held["content"] if "content" in held else (FILE.parent / held["file"]).read_text()
        assert name == "accounts" or yaml.safe_load(text)


def test_prometheus_scrapes_exporter_and_prefect_and_grafana_finds_the_dashboard() -> None:
    held = {
        name: yaml.safe_load(DOCUMENT["configs"][name]["content"])
        for name in ("prometheus", "dashboards")
    }
    jobs = {job["job_name"]: job for job in held["prometheus"]["scrape_configs"]}
    assert {name: job["static_configs"][0]["targets"] for name, job in jobs.items()} == {
        "onerun": [f"exporter:{metrics.parser().get_default('port')}"],
        "prefect": ["prefect:4200"],
    }
    assert jobs["prefect"]["metrics_path"] == "/api/metrics" and jobs["prefect"]["basic_auth"]
    (provider,) = held["dashboards"]["providers"]
    mounted = {entry["source"]: entry["target"] for entry in SERVICES["grafana"]["configs"]}
    assert mounted["dashboard"].startswith(provider["options"]["path"] + "/")
    assert mounted["dashboards"].startswith("/etc/grafana/provisioning/dashboards/")
    assert SERVICES["exporter"]["environment"]["MLFLOW_ARTIFACTS_DESTINATION"] in " ".join(
        SERVICES["mlflow"]["command"]
    )


def test_all_that_is_ours_is_of_the_one_image() -> None:
    builds = {str(service["build"]) for service in SERVICES.values() if "build" in service}
    assert builds == {str({"context": "..", "args": {"COMMIT": "${COMMIT:-unknown}"}})}
    writes = {name for name, each in SERVICES.items() if "build" in each and "volumes" in each}
    assert {volume for name in writes for volume in SERVICES[name]["volumes"]} == {
        "prefect:/data",
        "mlflow:/data",
    }
    assert (
        "install --directory --owner 1000 --group 1000 /data" in (ROOT / "Dockerfile").read_text()
    )
    assert SERVICES["prefect"]["environment"]["PREFECT_HOME"] == "/data"


def test_clients_know_both_servers_and_the_servers_the_names_they_are_called_by() -> None:
    for name in ("worker", "deploy"):
        assert SERVICES[name]["environment"]["PREFECT_API_URL"] == "http://prefect:4200/api"
    for client in ("worker", "exporter"):
        environment = SERVICES[client]["environment"]
        assert environment["AWS_SECRET_ACCESS_KEY"] and environment["MLFLOW_TRACKING_PASSWORD"]
    assert "--app-name=basic-auth" in SERVICES["mlflow"]["command"]
    assert any("--allowed-hosts=mlflow:5000" in part for part in SERVICES["mlflow"]["command"])
    assert SERVICES["prefect"]["environment"]["PREFECT_UI_API_URL"] == "http://127.0.0.1:4200/api"


def test_whoever_writes_objects_sends_what_older_stores_take() -> None:
    held = [each.get("environment", {}) for each in SERVICES.values()]
    assert all(
        OF_OTHER_STORES.items() <= each.items() for each in held if "MLFLOW_S3_ENDPOINT_URL" in each
    )


def test_commands_of_ours_are_good_ones() -> None:
    started = SERVICES["worker"]["command"]
    assert started[:3] == ["python", "-m", "deployments.worker"]
    worker.parser().parse_args(started[3:])
    started = SERVICES["exporter"]["command"]
    assert started[:3] == ["python", "-m", "flows.metrics"]
    assert metrics.parser().parse_args(started[3:]).bind == "0.0.0.0"
    check = SERVICES["worker"]["healthcheck"]["test"]
    assert check[:4] == ["CMD", "python", "-m", "flows.doctor"]
    checkup.parser().parse_args(check[4:])


def test_what_git_leaves_out_does_not_get_into_the_image_at_any_depth() -> None:
    """Credentials, data, what guarantees and benchmarks leave: a name without `**/` is one in the root for Docker."""
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    names = [line.rstrip("/") for line in (ROOT / ".gitignore").read_text().splitlines()]
    assert [
        name for name in names if not any(fnmatch(f"**/{name}", pattern) for pattern in ignored)
    ] == []
    assert {"*.env", "accounts.ini", "*.pem", "build", ".hypothesis"} <= set(names)
    assert {".git", "**/.env.*"} <= set(ignored)


def test_files_of_credentials_that_the_documentation_speaks_of_do_not_get_into_git() -> None:
    named = set(
        re.findall(r"--from-(?:env-)?file=(\S+)", (ROOT / "docs" / "kubernetes.md").read_text())
    )
    assert len(named) >= 4
    ignored = subprocess.run(
        ["git", "check-ignore", "--no-index", *named], cwd=ROOT, capture_output=True, text=True
    )
    assert set(ignored.stdout.split()) == named


def test_docker_compose_takes_it_where_it_is_installed() -> None:
    plugin = shutil.which("docker-compose") or (shutil.which("docker") and "docker")
    line = ["docker-compose"] if plugin and plugin != "docker" else ["docker", "compose"]
    if not plugin or subprocess.run([*line, "version"], capture_output=True).returncode:
        pytest.skip("docker compose is not installed")
    variables = {**os.environ, **dict.fromkeys(NEEDED, "some-value")}
    done = subprocess.run(
        [*line, "-f", FILE, "config", "--quiet"], env=variables, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    missing = subprocess.run(
        [*line, "-f", FILE, "config", "--quiet"], capture_output=True, text=True
    )
    assert missing.returncode and "set it in .env" in missing.stderr


def test_every_command_of_the_pages_names_dot_env() -> None:
    """Compose looks for it beside compose.yaml otherwise, where it is not."""
    pages = [
        page.read_text() for page in (ROOT / "README.md", FILE, *(ROOT / "docs").rglob("*.md"))
    ]
    said = [
        line
        for page in pages
        for line in re.findall(r"docker compose (?=.*(?:-f|up|down))([^`#\n|]*)", page)
    ]
    assert (
        len(said) >= 4
        and [line for line in said if "--env-file .env -f deployments/compose.yaml" not in line]
        == []
    )


def test_the_page_on_maintenance_names_database_and_bucket_as_they_are_here() -> None:
    page = (ROOT / "docs" / "maintenance.md").read_text().replace('"', "")
    server = SERVICES["mlflow"]
    (destination,) = (
        each for each in server["command"] if each.startswith("--artifacts-destination=")
    )
    assert f"-e MLFLOW_ARTIFACTS_DESTINATION={destination.partition('=')[2]} " in page
    database = re.sub(
        r"\$\{(\w+):\?[^}]*\}", r"$\1", server["environment"]["MLFLOW_BACKEND_STORE_URI"]
    )
    assert f"-e MLFLOW_TRACKING_URI={database} " in page
    assert SERVICES["worker"]["environment"]["ONERUN_STORE"].startswith("s3://"), (
        "archives outlive the container"
    )
