"""Servers with passwords, and with certificates of a private authority: ours get in, nobody else, nobody sees."""

import json
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from uuid import UUID

import certifi
import httpx
import pytest
import sqlalchemy

from deployments.kubernetes.template import BUNDLE
from tests import servers
from tests.system.running import ROOT, RunningStack, final, running, until

if TYPE_CHECKING:
    from minio import Minio

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]
TOKEN = "token-of-the-tests-7"
PREFECT_PASSWORD, MLFLOW_PASSWORD, SIGNING = (
    "prefect-password-7",
    "mlflow-password-7",
    "signing-secret-7",
)
SECRETS = (PREFECT_PASSWORD, MLFLOW_PASSWORD, SIGNING)
ACCOUNTS = (
    {
        "MLFLOW_TRACKING_USERNAME": "owner",
        "MLFLOW_TRACKING_PASSWORD": MLFLOW_PASSWORD,
        "MLFLOW_FLASK_SERVER_SECRET_KEY": SIGNING,
    }
    if find_spec("flask_wtf")
    else {}
)  # an MLflow server with accounts needs mlflow[auth]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    folder = tmp_path_factory.mktemp("guarded")
    with running(
        folder, PREFECT_API_AUTH_STRING=f"owner:{PREFECT_PASSWORD}", **ACCOUNTS
    ) as started:
        yield started


def trained(stack: RunningStack, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    line = [
        sys.executable,
        "-m",
        "flows.train",
        "--recipe",
        str(ROOT / "recipes" / "diabetes.yaml"),
        *arguments,
    ]
    variables = {**stack.environment, **more}
    return subprocess.run(
        line, cwd=stack.folder, env=variables, capture_output=True, text=True, timeout=600
    )


def logged_in(stack: RunningStack) -> httpx.Client:
    return httpx.Client(base_url=stack.api, auth=("owner", PREFECT_PASSWORD), timeout=60)


@pytest.mark.parametrize("auth", [None, ("owner", "wrong"), ("anonymous", PREFECT_PASSWORD)])
def test_strangers_get_nothing_of_prefect(
    stack: RunningStack, auth: tuple[str, str] | None
) -> None:
    for method, path in (
        ("GET", "/admin/version"),
        ("POST", "/deployments/filter"),
        ("POST", "/flow_runs/filter"),
    ):
        answer = httpx.request(
            method, f"{stack.api}{path}", json={} if method == "POST" else None, auth=auth
        )  # type: ignore[arg-type]
        assert answer.status_code == 401, (path, answer.text)


@pytest.mark.skipif(not ACCOUNTS, reason="an MLflow server with accounts needs mlflow[auth]")
@pytest.mark.parametrize("auth", [None, ("owner", "wrong"), ("nobody", MLFLOW_PASSWORD)])
def test_strangers_get_nothing_of_mlflow(stack: RunningStack, auth: tuple[str, str] | None) -> None:
    address = stack.environment["MLFLOW_TRACKING_URI"]
    for path in (
        "/api/2.0/mlflow/experiments/search?max_results=1",
        "/api/2.0/mlflow-artifacts/artifacts?path=0",
    ):
        answer = httpx.get(f"{address}{path}", auth=auth)  # type: ignore[arg-type]
        assert answer.status_code == 401, (path, answer.text)


def test_a_deployed_training_gets_in_and_no_secret_is_seen_anywhere(stack: RunningStack) -> None:
    with logged_in(stack) as prefect:
        deployment = prefect.get("/deployments/name/train/diabetes").json()
        made = prefect.post(
            f"/deployments/{deployment['id']}/create_flow_run",
            json={"parameters": {"recipe": "diabetes"}},
        )
        flow_run = made.json()["id"]
        state = until(
            lambda: final(prefect.get(f"/flow_runs/{flow_run}").json()["state"]),
            "the training's end",
        )
        assert state["type"] == "COMPLETED", state
        seen = told_by_prefect(prefect, flow_run)
    folder = Path(stack.environment["ONERUN_WORK"]) / "stack"
    artifacts = [path for path in (folder / "artifacts").rglob("*") if path.is_file()]
    assert [path for path in artifacts if path.name == "profile.yaml"]
    seen += [path.read_bytes().decode(errors="replace") for path in artifacts]
    seen.append((folder / "mlflow.db").read_bytes().decode("latin-1"))
    need_unseen(SECRETS, [*seen, *written_by(stack)])


def told_by_prefect(prefect: httpx.Client, flow_run: str) -> list[str]:
    """Returns: what its API says of a flow run, logs included, and of all deployments and pools."""
    asked = ("deployments", "logs", "work_pools", "task_runs", "events", "artifacts")
    found = [
        prefect.post(f"/{each}/filter", json={"limit": 200} if each != "events" else {})
        for each in asked
    ]
    found.append(prefect.get(f"/flow_runs/{flow_run}"))
    return [answer.raise_for_status().text for answer in found]


def written_by(stack: RunningStack) -> list[str]:
    """Returns: its logs and the records of its processes."""
    folder = Path(stack.environment["ONERUN_WORK"]) / "stack"
    return [path.read_text() for path in (*folder.glob("logs/*.log"), *folder.glob("*.json"))]


def need_unseen(secrets: Iterable[str], seen: Iterable[str]) -> None:
    """Neither there, nor on a command line."""
    shown = subprocess.run(["ps", "-A", "-o", "args"], capture_output=True, text=True).stdout
    for secret in secrets:
        assert not [
            text[max(0, text.find(secret) - 100) :][:200]
            for text in (*seen, shown)
            if secret in text
        ]


def test_wrong_credentials_end_a_command_at_once_and_nothing_local_takes_their_place(
    stack: RunningStack,
) -> None:
    before = set(stack.folder.iterdir())
    done = trained(stack, PREFECT_API_AUTH_STRING="owner:wrong-password")
    assert done.returncode == 2 and "PREFECT_API_AUTH_STRING" in done.stderr
    assert "wrong-password" not in done.stderr + done.stdout
    assert set(stack.folder.iterdir()) == before
    if ACCOUNTS:
        done = trained(stack, MLFLOW_TRACKING_PASSWORD="wrong-password")
        assert done.returncode == 2 and "MLFLOW_TRACKING_PASSWORD" in done.stderr
        done = stack.command("up")
        assert done.returncode == 0, done.stderr
        other = RunningStack(
            stack.folder, {**stack.environment, "MLFLOW_TRACKING_PASSWORD": "changed-meanwhile"}
        )
        done = other.command("up")
        assert done.returncode == 2 and "refuses the credentials" in done.stderr
        assert "changed-meanwhile" not in done.stderr


class Encrypted:
    """Hands on what comes to an https:// address of its own to another server, and its answers back."""

    def __init__(self, address: str, certificate: Path, key: Path) -> None:
        self._inside = urlsplit(address)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate, key)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.address = f"https://127.0.0.1:{self._listening.getsockname()[1]}{self._inside.path}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError):  # closed
            while True:
                threading.Thread(
                    target=self._join, args=self._listening.accept()[:1], daemon=True
                ).start()

    def _join(self, plain: socket.socket) -> None:
        with suppress(OSError):  # whoever does not trust us hangs up
            outer = self._context.wrap_socket(plain, server_side=True)
            inner = socket.create_connection((self._inside.hostname or "", self._inside.port or 80))
            threading.Thread(target=_copy, args=(outer, inner), daemon=True).start()
            _copy(inner, outer)

    def close(self) -> None:
        """Nobody else is let in."""
        self._listening.close()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while chunk := source.recv(65536):
            target.sendall(chunk)
        target.shutdown(socket.SHUT_WR)


@contextmanager
def encrypted(address: str, certificate: Path, key: Path) -> Iterator[str]:
    """Yields: an https:// address that leads to `address`."""
    server = Encrypted(address, certificate, key)
    try:
        yield server.address
    finally:
        server.close()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns: a folder with a private authority (ca.pem) and a certificate of its for 127.0.0.1."""
    folder = tmp_path_factory.mktemp("authority")
    new = "openssl req -newkey rsa:2048 -nodes -days 2"
    (folder / "ext").write_text("subjectAltName=IP:127.0.0.1\n")
    for line in (
        f"{new} -x509 -keyout ca.key -out ca.pem -subj /CN=private",
        f"{new} -keyout server.key -out server.csr -subj /CN=127.0.0.1",
        "openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile ext -out server.pem",
    ):
        subprocess.run(line.split(), cwd=folder, check=True, capture_output=True)
    return folder


def test_servers_behind_a_private_authority_are_reached_when_it_is_named(
    stack: RunningStack, authority: Path
) -> None:
    pair = authority / "server.pem", authority / "server.key"
    script = stack.folder / "asks.py"
    script.write_text(
        "import os, mlflow, pandas\n"
        "from sklearn.dummy import DummyRegressor\n"
        "mlflow.log_param('from_the_program', os.environ['MLFLOW_TRACKING_URI'][:5])\n"
        "train = pandas.read_parquet(os.environ['ONERUN_TRAIN_DATA'])\n"
        "model = DummyRegressor().fit(train.drop(columns=['target']), train['target'])\n"
        "mlflow.sklearn.save_model(model, os.environ['ONERUN_MODEL_DIR'],"
        " skops_trusted_types=['sklearn.dummy.DummyRegressor'])\n"
    )
    by_program = [
        "--set",
        "train.run_in=command",
        "--set",
        f"train.command=[python, {script}]",
        "--set",
        "model=null",
    ]
    with (
        encrypted(stack.environment["MLFLOW_TRACKING_URI"], *pair) as mlflow,
        encrypted(stack.api, *pair) as prefect,
    ):
        addresses = {"MLFLOW_TRACKING_URI": mlflow, "PREFECT_API_URL": prefect}
        refused = trained(stack, **addresses)
        assert refused.returncode == 2 and "certificate" in refused.stderr.lower()
        named = str(authority / "ca.pem")
        trust = {"REQUESTS_CA_BUNDLE": named, "SSL_CERT_FILE": named}
        done = trained(
            stack, *by_program, "--set", "task=regression", "--json", **addresses, **trust
        )
        assert done.returncode == 0, done.stderr
        line = [sys.executable, "-m", "flows.doctor"]
        variables = {**stack.environment, **addresses, **trust}
        well = subprocess.run(
            line, cwd=stack.folder, env=variables, capture_output=True, text=True, timeout=300
        )
        assert well.returncode == 0, well.stdout


@pytest.fixture
def as_owner(monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow's client in this process is let in."""
    for name, value in ACCOUNTS.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("as_owner")
def test_a_worker_and_the_object_store_of_a_private_authority(
    stack: RunningStack, authority: Path, s3_server: str
) -> None:
    """Everything encrypted: Prefect, MLflow, and the bucket of the snapshots; the worker is told by its environment."""
    pair, named = (authority / "server.pem", authority / "server.key"), str(authority / "ca.pem")
    with (
        encrypted(stack.environment["MLFLOW_TRACKING_URI"], *pair) as mlflow,
        encrypted(stack.api, *pair) as prefect,
        encrypted(s3_server, *pair) as objects,
        logged_in(stack) as client,
    ):
        client.post("/work_pools/", json={"name": "private", "type": "process"}).raise_for_status()
        deployment = client.get("/deployments/name/train/wine").json()
        client.patch(
            f"/deployments/{deployment['id']}", json={"work_pool_name": "private"}
        ).raise_for_status()
        made = client.post(
            f"/deployments/{deployment['id']}/create_flow_run",
            json={"parameters": {"recipe": "wine"}},
        )
        variables = {
            "MLFLOW_TRACKING_URI": mlflow, "PREFECT_API_URL": prefect,
            "MLFLOW_S3_ENDPOINT_URL": objects, "ONERUN_STORE": "s3://private-snapshots/onerun",
            "AWS_ACCESS_KEY_ID": servers.S3_KEY, "AWS_SECRET_ACCESS_KEY": servers.S3_SECRET,
            "REQUESTS_CA_BUNDLE": named, "SSL_CERT_FILE": named, "AWS_CA_BUNDLE": named,
        }  # fmt: skip
        make_bucket(s3_server, "private-snapshots")
        with stack.worker("private", "--pool", "private", **variables):
            flow_run = made.json()["id"]
            state = until(
                lambda: final(client.get(f"/flow_runs/{flow_run}").json()["state"]),
                "the training's end",
            )
            assert state["type"] == "COMPLETED", (
                stack.folder / "private" / "worker.log"
            ).read_text()[-3000:]
        (run,) = stack.runs(UUID(flow_run))
        assert "s3://private-snapshots/onerun" in run.data.tags["onerun.stage.ingest"]
        untold = {**variables, "AWS_CA_BUNDLE": certifi.where()}  # public authorities alone
        refused = trained(stack, **untold)
        assert refused.returncode == 2 and "certificate" in refused.stderr.lower()


def make_bucket(endpoint: str, name: str) -> None:
    objects_of(endpoint).make_bucket(name)


def objects_of(endpoint: str) -> "Minio":
    from minio import Minio

    return Minio(endpoint.partition("://")[2], servers.S3_KEY, servers.S3_SECRET, secure=False)


def test_mlflow_keeps_artifacts_in_a_store_of_a_private_authority_and_no_key_is_seen_anywhere(
    tmp_path: Path, authority: Path, s3_server: str, postgres: str
) -> None:
    """Its server writes them over TLS, to a store that older checksums are for; its database is PostgreSQL."""
    account = f"{servers.POSTGRES_USER}:{servers.POSTGRES_PASSWORD}@{postgres}"
    engine = sqlalchemy.create_engine(
        f"postgresql+psycopg://{account}/postgres", isolation_level="AUTOCOMMIT"
    )
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text("CREATE DATABASE guarded"))
    engine.dispose()
    trust = dict.fromkeys(
        BUNDLE, str(authority / "ca.pem")
    )  # MLflow sends clients to the store for what they fetch
    with encrypted(s3_server, authority / "server.pem", authority / "server.key") as objects:
        variables = {
            **trust, "MLFLOW_S3_ENDPOINT_URL": objects,
            "AWS_ACCESS_KEY_ID": servers.S3_KEY, "AWS_SECRET_ACCESS_KEY": servers.S3_SECRET,
            "ONERUN_STORE": "s3://private-artifacts/data", "MLFLOW_ARTIFACTS_DESTINATION": "s3://private-artifacts/mlflow",
            "MLFLOW_BACKEND_STORE_URI": f"postgresql+psycopg://{account}/guarded",
        }  # fmt: skip
        with (
            running(tmp_path, **variables) as stack,
            httpx.Client(base_url=stack.api, timeout=60) as prefect,
        ):
            flow_run = stack.run("train/diabetes")
            assert stack.ended(flow_run)["type"] == "COMPLETED", written_by(stack)
            (run,) = stack.runs(flow_run)
            seen = [
                *told_by_prefect(prefect, str(flow_run)),
                *written_by(stack),
                str(run.to_dictionary()),
            ]
        store = objects_of(s3_server)
        held = [
            str(each.object_name)
            for each in store.list_objects("private-artifacts", "mlflow/", recursive=True)
        ]
        assert any(name.endswith("/MLmodel") for name in held) and any(
            name.endswith("/profile.yaml") for name in held
        )
        seen += [
            store.get_object("private-artifacts", name).data.decode(errors="replace")
            for name in held
        ]
    need_unseen((servers.S3_KEY, servers.S3_SECRET, servers.POSTGRES_PASSWORD), seen)


@contextmanager
def behind_a_token(address: str, token: str, login: tuple[str, str] | None) -> Iterator[str]:
    """Yields: the address of a proxy that lets in who shows the token, and logs in for them, as oauth2-proxy does."""
    import uvicorn
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    inside = httpx.AsyncClient(base_url=address, auth=login, timeout=120)

    async def hand_on(request: Request) -> Response:
        if request.headers.get("authorization") != f"Bearer {token}":
            return Response("no token, no entry", 401)
        kept = {
            key: value
            for key, value in request.headers.items()
            if key not in ("host", "authorization")
        }
        url = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        answer = await inside.request(
            request.method, url, content=await request.body(), headers=kept
        )
        return Response(
            answer.content,
            answer.status_code,
            {"content-type": answer.headers.get("content-type", "")},
        )

    everything = Route(
        "/{path:path}", hand_on, methods=["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"]
    )
    port = servers.free_port()
    server = uvicorn.Server(
        uvicorn.Config(Starlette(routes=[everything]), port=port, log_level="warning")
    )
    serving = threading.Thread(target=server.run, daemon=True)
    serving.start()
    try:
        until(lambda: server.started, "the proxy")
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        serving.join(30)


@pytest.mark.usefixtures("as_owner")
def test_an_mlflow_behind_a_token(stack: RunningStack, tmp_path: Path) -> None:
    login = (ACCOUNTS["MLFLOW_TRACKING_USERNAME"], MLFLOW_PASSWORD) if ACCOUNTS else None
    without = {
        key: value
        for key, value in stack.environment.items()
        if not key.startswith("MLFLOW_TRACKING_")
    }
    with behind_a_token(stack.environment["MLFLOW_TRACKING_URI"], TOKEN, login) as address:
        inside = RunningStack(tmp_path, {**without, "MLFLOW_TRACKING_URI": address})
        refused = trained(inside)
        assert refused.returncode == 2 and "MLFLOW_TRACKING_TOKEN" in refused.stderr
        wrong = trained(inside, MLFLOW_TRACKING_TOKEN="another-token")
        assert wrong.returncode == 2 and "MLFLOW_TRACKING_TOKEN" in wrong.stderr
        assert "another-token" not in wrong.stderr + wrong.stdout
        done = trained(
            inside, "--set", "train.run_in=process", "--json", MLFLOW_TRACKING_TOKEN=TOKEN
        )
        assert done.returncode == 0, done.stderr
        assert TOKEN not in done.stdout + done.stderr
        run = stack.mlflow.get_run(json.loads(done.stdout)["run_id"])
        assert run.info.status == "FINISHED"
        written = [path for path in tmp_path.rglob("*") if path.is_file()]
        assert not [path for path in written if TOKEN.encode() in path.read_bytes()]
        assert TOKEN not in str(run.to_dictionary())
