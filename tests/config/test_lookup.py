"""Short names: the working folder's own files, then the project that ONERUN_HOME names, then the checkout's samples."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from onerun.config.loading import load_policy, load_recipe
from onerun.config.mistakes import Mistakes
from onerun.config.profile import load_profile

ROOT = Path(__file__).parents[2]
RECIPE = "data: {source: 'sklearn:wine', target: target}\nmodel: {estimator: sklearn.svm.SVC}\n"


def project(folder: Path, work: str) -> Path:
    """Make a project whose files say `work`."""
    for name, text in (
        ("settings/profiles/ours.yaml", f"work: {work}\n"),
        ("recipes/ours.yaml", f"description: {work}\n{RECIPE}"),
        ("policies/ours.yaml", f"description: {work}\n"),
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def found() -> tuple[str, str | None, str | None]:
    return (
        load_profile("ours").work,
        load_recipe("ours").description,
        load_policy("ours").description,
    )


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, without a project in the environment."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.delenv("ONERUN_HOME", raising=False)
    return folder


def test_the_working_folder_wins_over_onerun_home(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONERUN_HOME", str(project(tmp_path / "home", "home")))
    assert found() == ("home", "home", "home")
    project(here, "here")
    assert found() == ("here", "here", "here")


def test_the_checkout_comes_last(here: Path) -> None:
    assert load_recipe("wine").name == "wine"
    assert load_profile("local").work == ".onerun"
    project(here, "here")
    (here / "settings/profiles/local.yaml").write_text("work: mine\n")
    assert load_profile("local").work == "mine"


def test_a_parent_folder_is_named_and_not_used(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project(tmp_path, "parent")
    for load in (load_profile, load_recipe, load_policy):
        with pytest.raises(Mistakes) as raised:
            load("ours")
        assert f"{tmp_path} has one: start there, or set ONERUN_HOME to it" in str(raised.value)


def test_what_is_missing_is_answered_with_what_there_is(here: Path) -> None:
    project(here, "here")
    with pytest.raises(Mistakes, match=r"settings/profiles/our.yaml\); did you mean ours\?"):
        load_profile("our")
    with pytest.raises(Mistakes, match=r"there are local, ours, servers, stack"):
        load_profile("zzz")


def test_an_installed_package_looks_beside_no_package(here: Path, tmp_path: Path) -> None:
    """What another package left in site-packages/settings is no profile of ours."""
    site = tmp_path / "site"
    shutil.copytree(ROOT / "onerun", site / "onerun", ignore=shutil.ignore_patterns("__pycache__"))
    project(site, "of somebody else")
    ask = "from onerun.config.profile import load_profile; load_profile('ours')"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(site)!r}); {ask}"],
        cwd=here, capture_output=True, text=True,
    )  # fmt: skip
    assert "no such profile" in done.stderr
