"""What happens to file stores: each a small function on a healthy one, what is found of it, and what a rescue saves.

`lost` names what is not in the database afterwards (kind of fact -> how many fewer), `rebuilt` how many things carry
the tag that says so. Everything else is there, unchanged.
"""

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml


@dataclass(frozen=True)
class Store:
    """A generated file store: its folder and what is in it."""

    root: Path
    experiment: str
    runs: list[str]

    @property
    def home(self) -> Path:
        """The folder of the first experiment."""
        return self.root / self.experiment

    @property
    def run(self) -> Path:
        """The folder of its first run."""
        return self.home / self.runs[0]

    @property
    def model(self) -> Path:
        """The folder of the logged model that version 1 stands on."""
        source = yaml.safe_load((self.root / "models/houses/version-1/meta.yaml").read_text())[
            "source"
        ]
        return self.home / "models" / str(source).removeprefix("models:/")

    @property
    def trace(self) -> Path:
        """The folder of the trace."""
        return next((self.home / "traces").glob("tr-*"))


@dataclass(frozen=True)
class Damage:
    """One kind of damage and what becomes of it."""

    do: Callable[[Store], object]
    what: str  # of which kind of thing the finding is
    cause: str  # a part of its words
    done: str  # rebuilt, mended, quarantined, dropped or told
    lost: Mapping[str, int] = field(default_factory=dict)
    rebuilt: int = 0


CORPUS: dict[str, Damage] = {}


def damage(
    what: str, cause: str, done: str, rebuilt: int = 0, **lost: int
) -> Callable[[Callable[[Store], object]], None]:
    """Takes a function into the corpus."""
    named = {key.replace("_s_", "'s ").replace("_", " "): count for key, count in lost.items()}

    def take(do: Callable[[Store], object]) -> None:
        CORPUS[do.__name__] = Damage(do, what, cause, done, named, rebuilt)

    return take


def edit(path: Path, **changes: object) -> None:
    meta = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump({**meta, **changes}))


def put_elsewhere(store: Store, path: Path) -> None:
    """As on a disk that has room; a link takes its place, and MLflow follows it."""
    other = store.root.parent / "another disk"
    other.mkdir(exist_ok=True)
    shutil.move(path, other / path.name)
    path.symlink_to(other / path.name)


# Of one run: 2 parameters, 4 tags with mlflow.user and source, 22 points; see `filled` for all.


@damage("experiment", "missing", "rebuilt", rebuilt=1)
def experiment_without_meta(store: Store) -> None:
    (store.home / "meta.yaml").unlink()


@damage("experiment", "empty", "rebuilt", rebuilt=1)
def experiment_with_empty_meta(store: Store) -> None:
    (store.home / "meta.yaml").write_text(" \n")


@damage("experiment", "no YAML", "rebuilt", rebuilt=1)
def experiment_with_broken_meta(store: Store) -> None:
    (store.home / "meta.yaml").write_text("name: [unclosed\n  - x: {")


@damage("experiment", "no YAML", "rebuilt", rebuilt=1)
def experiment_with_binary_meta(store: Store) -> None:
    (store.home / "meta.yaml").write_bytes(bytes(range(256)) * 8)


@damage("experiment", "no mapping", "rebuilt", rebuilt=1)
def experiment_whose_meta_is_a_list(store: Store) -> None:
    (store.home / "meta.yaml").write_text("- a\n- b\n")


@damage("experiment", "no YAML", "rebuilt", rebuilt=1)
def experiment_whose_meta_is_code(store: Store) -> None:
    harm = store.root.parent / "harm"
    (store.home / "meta.yaml").write_text(f"!!python/object/apply:os.system ['touch {harm}']\n")


@damage("experiment", "where at most", "rebuilt", rebuilt=1)
def experiment_with_huge_meta(store: Store) -> None:
    with (store.home / "meta.yaml").open("wb") as file:
        file.truncate(2**22)


@damage("experiment", "a link", "rebuilt", rebuilt=1)
def experiment_whose_meta_is_a_link(store: Store) -> None:
    (store.home / "meta.yaml").unlink()
    (store.home / "meta.yaml").symlink_to("/etc/hostname")


@damage("experiment", "names itself 77", "mended")
def experiment_with_another_id(store: Store) -> None:
    edit(store.home / "meta.yaml", experiment_id="77")


@damage("experiment", "its name is 'None'", "mended")
def experiment_without_a_name(store: Store) -> None:
    edit(store.home / "meta.yaml", name=None)


@damage("experiment", "has the name of experiment", "mended", rebuilt=1)
def two_experiments_with_one_name(store: Store) -> None:
    other = store.root / "999"
    other.mkdir()
    edited = yaml.safe_load((store.home / "meta.yaml").read_text()) | {"experiment_id": "999"}
    (other / "meta.yaml").write_text(yaml.safe_dump(edited))


@damage("experiment", "the same id as an experiment that is not deleted", "quarantined")
def experiment_in_use_and_in_the_trash(store: Store) -> None:
    shutil.copytree(store.home, store.root / ".trash" / store.experiment, dirs_exist_ok=True)


@damage("experiment", "an empty folder", "dropped")
def empty_folder(store: Store) -> None:
    (store.root / "12345").mkdir()


@damage("folder", "would take it for an experiment", "quarantined")
def backup_folder(store: Store) -> None:
    shutil.copytree(store.home, store.root / f"{store.experiment}.bak")


@damage("file", "does not belong here", "quarantined")
def stray_files(store: Store) -> None:
    (store.root / "Thumbs.db").write_bytes(b"\x00\x01")
    (store.home / "notes.txt").write_text("mine")


@damage("run", "missing", "rebuilt", rebuilt=1)
def run_without_meta(store: Store) -> None:
    (store.run / "meta.yaml").unlink()


@damage("run", "empty", "rebuilt", rebuilt=1)
def run_with_empty_meta(store: Store) -> None:
    (store.run / "meta.yaml").write_text("")


@damage("run", "no YAML", "rebuilt", rebuilt=1)
def run_with_cut_off_meta(store: Store) -> None:
    (store.run / "meta.yaml").write_text("artifact_uri: 'file:///x\nend_")


@damage("run", "has status '99'", "mended")
def run_with_unknown_status(store: Store) -> None:
    edit(store.run / "meta.yaml", status=99)


@damage("run", "has start_time 'yesterday'", "mended")
def run_with_a_time_that_is_none(store: Store) -> None:
    edit(store.run / "meta.yaml", start_time="yesterday")


@damage("run", "names run ffff", "mended")
def run_with_another_id(store: Store) -> None:
    edit(store.run / "meta.yaml", run_id="ffff", run_uuid="ffff")


@damage("run", "names experiment 5", "mended")
def run_of_another_experiment(store: Store) -> None:
    edit(store.run / "meta.yaml", experiment_id="5")


@damage("run", "a run of that id is in experiment", "quarantined")
def run_in_two_experiments(store: Store) -> None:
    other = next(
        path
        for path in store.root.iterdir()
        if path.name.isdecimal() and path.name not in ("0", store.experiment)
    )
    shutil.copytree(store.run, other / store.run.name)


@damage("run", "nothing of a run is in it", "quarantined")
def folder_that_is_no_run(store: Store) -> None:
    (store.home / "plots").mkdir()
    (store.home / "plots" / "a.png").write_bytes(b"png")


@damage("run", "its name is no run's id", "quarantined")
def run_with_an_odd_name(store: Store) -> None:
    shutil.copytree(store.run, store.home / "copy of a run (2)")


@damage("metric", "3 lines are none of a metric", "quarantined", metric=1)
def metric_lines_that_do_not_parse(store: Store) -> None:
    file = store.run / "metrics" / "loss"
    lines = file.read_text().splitlines()
    file.write_text("\n".join(["1700 abc 0", "\x00\x01 junk", *lines[1:], "1700"]) + "\n")


@damage("metric", "no point in it", "dropped", metric=20)
def empty_metric(store: Store) -> None:
    (store.run / "metrics" / "loss").write_text("")


@damage("metric", "2 points are there twice", "told")
def points_that_are_there_twice(store: Store) -> None:
    file = store.run / "metrics" / "loss"
    lines = file.read_text().splitlines()
    file.write_text("\n".join([*lines, *lines[:2]]) + "\n")


@damage("parameter", "not UTF-8", "quarantined", parameter=1)
def binary_parameter(store: Store) -> None:
    (store.run / "params" / "depth").write_bytes(b"\xff\xfe\x00\x80")


@damage("parameter", "where at most", "quarantined", parameter=1)
def huge_parameter(store: Store) -> None:
    with (store.run / "params" / "depth").open("wb") as file:
        file.truncate(2**22)


@damage("parameter", "a link", "quarantined", parameter=1)
def parameter_that_is_a_link(store: Store) -> None:
    (store.run / "params" / "depth").unlink()
    (store.run / "params" / "depth").symlink_to("/etc/passwd")


@damage("parameters", "a link to", "left out")
def parameters_that_are_a_link(store: Store) -> None:
    shutil.rmtree(store.run / "params")
    (store.run / "params").symlink_to(store.home / store.runs[2] / "params")


@damage("tag", "its carriage returns become line breaks", "quarantined")
def tag_written_on_another_system(store: Store) -> None:
    (store.run / "tags" / "note").write_bytes(b"one\r\ntwo\rthree")


@damage("tag", "no file", "quarantined")
def tag_that_is_a_pipe(store: Store) -> None:
    os.mkfifo(store.run / "tags" / "pipe")


@damage("tag", "its name is no text", "quarantined")
def tag_with_an_odd_name(store: Store) -> None:
    (store.run / "tags" / "caf\udce9").write_text("latin-1")


@damage("input", "its data set", "quarantined", input=3, data_set=1)
def data_set_that_is_gone(store: Store) -> None:
    shutil.rmtree(store.home / "datasets")


@damage("input", "as another input already", "quarantined")
def input_that_is_there_twice(store: Store) -> None:
    shutil.copytree(next((store.run / "inputs").iterdir()), store.run / "inputs" / "again")


@damage("input", "its source is of kind 'ODD'", "quarantined", input=1)
def input_of_an_odd_kind(store: Store) -> None:
    edit(next((store.run / "inputs").glob("*/meta.yaml")), source_type="ODD")


@damage("data set", "empty", "quarantined", input=3, data_set=1)
def data_set_with_empty_meta(store: Store) -> None:
    next((store.home / "datasets").glob("*/meta.yaml")).write_text("")


@damage("output", "no mapping", "quarantined", output=1)
def output_that_cannot_be_read(store: Store) -> None:
    next((store.run / "outputs").glob("*/meta.yaml")).write_text("just text")


@damage("model", "missing", "rebuilt", rebuilt=1)
def model_without_meta(store: Store) -> None:
    (store.model / "meta.yaml").unlink()


@damage(
    "version",
    "its logged model m-",
    "told",
    model=1,
    artifact=1,
    place=1,
    model_s_metric=1,
    model_s_parameter=1,
    model_s_tag=1,
)
def model_that_is_gone(store: Store) -> None:
    shutil.rmtree(store.model)


@damage(
    "model",
    "does not exist",
    "told",
    run=1,
    artifact=2,
    place=1,
    input=2,
    metric=21,
    model_s_metric=1,
    output=1,
    parameter=2,
    tag=2,
)
def run_that_is_gone(store: Store) -> None:
    shutil.rmtree(store.run)


@damage("model's metric", "2 values at the time and step of another one", "told")
def values_of_a_model_at_one_moment(store: Store) -> None:
    file = store.model / "metrics" / "r2"
    time, _, *rest = file.read_text().split()
    others = [" ".join([time, value, *rest]) + "\n" for value in ("0.25", "0.75")]
    file.write_text(file.read_text() + "".join(others))


@damage("registered model", "its name is no text", "quarantined")
def registered_model_with_an_odd_name(store: Store) -> None:
    shutil.copytree(store.root / "models" / "houses", store.root / "models" / "caf\udce9")


@damage("registered model", "missing", "rebuilt", rebuilt=1)
def registered_model_without_meta(store: Store) -> None:
    (store.root / "models" / "houses" / "meta.yaml").unlink()


@damage("version", "nothing says which model it is", "quarantined", version=1, version_s_tag=1)
def version_with_empty_meta(store: Store) -> None:
    (store.root / "models" / "houses" / "version-1" / "meta.yaml").write_text("")


@damage("alias", "points to nothing: '9'", "dropped", alias=1)
def alias_to_nothing(store: Store) -> None:
    (store.root / "models" / "houses" / "aliases" / "champion").write_text("9")


@damage("alias", "its name is no alias's", "dropped")
def alias_in_a_folder(store: Store) -> None:
    (store.root / "models" / "houses" / "aliases" / "a").mkdir()
    (store.root / "models" / "houses" / "aliases" / "a" / "b").write_text("1")


@damage("alias", "points to nothing: 'newest'", "dropped", alias=1)
def alias_that_is_no_number(store: Store) -> None:
    (store.root / "models" / "houses" / "aliases" / "champion").write_text("newest")


@damage("trace", "trace_info.yaml: missing", "quarantined")
def trace_without_info(store: Store) -> None:
    (store.home / "traces" / "tr-1" / "tags").mkdir(parents=True)
    (store.home / "traces" / "tr-1" / "tags" / "a").write_text("b")


@damage(
    "trace",
    "no YAML",
    "quarantined",
    trace=1,
    trace_s_tag=3,
    trace_s_metadata=8,
    assessment=2,
    artifact=1,
    place=1,
)
def trace_with_broken_info(store: Store) -> None:
    (store.trace / "trace_info.yaml").write_text("state: [")


@damage("trace", "a trace of that id is in experiment", "quarantined")
def trace_in_two_experiments(store: Store) -> None:
    other = next(path for path in store.root.glob("[1-9]*") if path.name != store.experiment)
    shutil.copytree(store.trace, other / "traces" / store.trace.name)


@damage("assessment", "an assessment of that id is of trace", "quarantined")
def trace_copied(store: Store) -> None:
    shutil.copytree(store.trace, store.home / "traces" / "tr-copy")


@damage("trace", "has status 'FINE'", "mended")
def trace_with_fields_that_are_none(store: Store) -> None:
    edit(
        store.trace / "trace_info.yaml", state="FINE", request_time="yesterday", trace_id="tr-other"
    )


@damage("trace's metadata", "a database holds of it nothing", "quarantined", trace_s_metadata=1)
def trace_whose_tokens_are_no_numbers(store: Store) -> None:
    (store.trace / "request_metadata" / "mlflow.trace.tokenUsage").write_text("many")


@damage("assessments", "a file where a folder belongs", "quarantined", assessment=2)
def assessments_that_are_a_file(store: Store) -> None:
    shutil.rmtree(store.trace / "assessments")
    (store.trace / "assessments").write_text("good")


@damage("assessments", "a link to", "left out")
def assessments_that_are_a_link(store: Store) -> None:
    put_elsewhere(store, store.trace / "assessments")


@damage("assessment", "neither feedback nor expectation", "quarantined", assessment=1)
def assessment_that_says_nothing(store: Store) -> None:
    edit(next((store.trace / "assessments").iterdir()), feedback=None, expectation=None)


@damage("assessment", "has no create_time", "mended")
def assessment_without_a_time(store: Store) -> None:
    edit(next((store.trace / "assessments").iterdir()), create_time=None)


@damage("experiment", "put that folder itself in its place", "left out")
def experiment_that_is_a_link(store: Store) -> None:
    put_elsewhere(store, store.home)


@damage("experiment", "put that folder itself in its place", "left out")
def trash_that_is_a_link(store: Store) -> None:
    put_elsewhere(store, store.root / ".trash")


@damage("run", "put that folder itself in its place", "left out")
def run_that_is_a_link(store: Store) -> None:
    put_elsewhere(store, store.run)


@damage("model", "put that folder itself in its place", "left out")
def model_that_is_a_link(store: Store) -> None:
    put_elsewhere(store, store.model)


@damage("registered model", "put that folder itself in its place", "left out")
def registered_model_that_is_a_link(store: Store) -> None:
    put_elsewhere(store, store.root / "models" / "houses")


@damage("version", "put that folder itself in its place", "left out")
def version_that_is_a_link(store: Store) -> None:
    put_elsewhere(store, store.root / "models" / "houses" / "version-1")


@damage("trace", "put that folder itself in its place", "left out")
def trace_that_is_a_link(store: Store) -> None:
    put_elsewhere(store, store.trace)


@damage("experiment", "has creation_time", "mended")
def experiment_of_a_time_that_no_database_holds(store: Store) -> None:
    edit(store.home / "meta.yaml", creation_time=10**30)


@damage("model", "has creation_timestamp", "mended")
def model_of_a_time_that_no_database_holds(store: Store) -> None:
    edit(store.model / "meta.yaml", creation_timestamp=10**30)


@damage("version", "has creation_timestamp", "mended")
def version_of_a_time_that_no_database_holds(store: Store) -> None:
    edit(store.root / "models" / "houses" / "version-1" / "meta.yaml", creation_timestamp=10**30)


@damage("run", "of which a database holds 250 characters", "mended")
def run_with_a_long_name(store: Store) -> None:
    edit(store.run / "meta.yaml", run_name="n" * 300)


@damage("experiment", "its name has 300 characters", "mended")
def experiment_with_a_long_name(store: Store) -> None:
    edit(store.home / "meta.yaml", name="n" * 300)
