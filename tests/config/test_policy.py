"""A policy is strict, says each mistake with its line, and holds no secret."""

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from onerun.archive import repository
from onerun.commands.maintain import key_of
from onerun.config.loading import load_policy
from onerun.config.mistakes import Mistakes
from onerun.config.schema import POLICY_PATH, policy_schema_text

ROOT = Path(__file__).parents[2]
SHIPPED = sorted((ROOT / "policies").glob("*.yaml"))


def mistakes(text: str) -> list[str]:
    with pytest.raises(Mistakes) as caught:
        load_policy(text)
    return [str(mistake) for mistake in caught.value.mistakes]


def test_the_editor_schema_is_current() -> None:
    assert POLICY_PATH.read_text() == policy_schema_text(), "run python -m onerun.config.schema"


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_every_shipped_policy_is_a_good_one(path: Path) -> None:
    policy = load_policy(str(path))
    assert policy.name == path.stem
    assert policy.description
    text = path.read_text()
    assert text.startswith("# yaml-language-server: $schema=policy.schema.json\n")
    jsonschema.validate(yaml.safe_load(text), json.loads(POLICY_PATH.read_text()))


def test_ages_are_written_as_they_are_read() -> None:
    policy = load_policy(
        "keep: {younger_than: 30d, failed_younger_than: 36h, deleted_younger_than: 5000s}\n"
    )
    written = policy.model_dump(mode="json", exclude_unset=True)["keep"]
    assert written == {
        "younger_than": "30d",
        "failed_younger_than": "36h",
        "deleted_younger_than": "5000s",
    }
    assert load_policy(yaml.safe_dump({"keep": written})).keep == policy.keep


def test_mistakes_have_line_key_and_near_miss() -> None:
    assert mistakes(
        """
keep: {yonger_than: 3d, best: [{metric: gain}]}
action: delete
max_delete: 120%
"""
    ) == [
        "policy:2: keep.best.0: greater_is_better: say true or false, nothing is known of gain",
        "policy:2: keep.yonger_than: unknown key; did you mean younger_than?",
        (
            "policy:3: action: should be 'quarantine', 'soft_delete' or 'hard_delete'; did you mean soft_delete?, "
            'got "delete"'
        ),
        "policy:4: max_delete: should be less than or equal to 1, got 1.2",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("keep: {younger_than: 30}\n", "between 1h and 3650d"),
        (
            "keep: {younger_than: 7d, failed_younger_than: 30d}\n",
            "failed runs would outlive the others",
        ),
        ("name: a/b\n", "name: expected letters from a to z"),
        ("name: wöchentlich\n", "did you mean wochentlich?"),
        ("name: Große Putzerei\n", "did you mean Groe-Putzerei?"),
        ('name: "weekly\\n"\nselect: {}\n', "did you mean weekly?"),
        ("name: -weekly\n", "a letter or digit first"),
        ("name: 每周\n", "at most 100, a letter or digit first"),
        ("protect: {aliases: false}\n", "unknown key"),
        ("a: 1\n---\nb: 2\n", "a policy is one document"),
    ],
)
def test_what_makes_no_sense_is_refused(text: str, said: str) -> None:
    assert said in "\n".join(mistakes(text))


def test_what_is_a_name_here_is_one_for_archives_and_for_prefect(tmp_path: Path) -> None:
    from prefect.client.schemas.actions import ArtifactCreate

    name = load_policy("name: Aa.0_-Z\nselect: {}\n").name
    repository.require_label(name)
    assert ArtifactCreate(key=key_of(name)).key == "maintenance-aa-0--z"
    (tmp_path / "wöchentlich.yaml").write_text("select: {}\n")
    with pytest.raises(Mistakes, match=r"wöchentlich.yaml: name: expected letters"):
        load_policy(str(tmp_path / "wöchentlich.yaml"))


def test_an_address_in_plain_text_is_refused_and_not_repeated() -> None:
    (said,) = mistakes("description: x\nnotify: ['slack://token-of-mine/secret']\n")
    assert said.startswith("policy:2: notify: an address holds secrets; write ${NAME}")
    assert "token-of-mine" not in said


def test_a_policy_is_called_by_its_name_in_the_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert load_policy("weekly").name == "weekly"
    assert load_policy("weekly", ["keep.last=3"]).keep.last == 3
    with pytest.raises(Mistakes, match=r"no such policy; did you mean policies/weekly.yaml\?"):
        load_policy("policies/weekli.yaml")
