"""What a reader of the code pays for, in figures: `make figures`.

Sizes, density, names and call paths of the product (onerun, tasks, flows, settings, deployments), measured from its files
and from one real training. Targets stand beside them; the command never fails: it measures.
"""

import ast
import io
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import tokenize
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("onerun", "tasks", "flows", "settings", "deployments")
IDIOM = re.compile(r"\b(told|nobody|reads|gone|is none|whoever)\b", re.IGNORECASE)
ORDINARY_NAMES = {"__init__", "__main__"}
RECIPE = """\
name: figures
data: {source: "sklearn:diabetes", target: target}
model: {estimator: lightgbm.LGBMRegressor, params: {n_estimators: 5, verbose: -1}}
"""
# Runs a training; prints the product's frames between the command and the fit, and the modules it has loaded.
TRACE = """
import json, sys, traceback
import lightgbm
from onerun.cli import main
fit, frames = lightgbm.train, []
def train(*given, **named):
    if not frames:
        frames.extend([frame.filename, frame.name] for frame in traceback.extract_stack()[:-1])
    return fit(*given, **named)
lightgbm.train = lightgbm.engine.train = lightgbm.sklearn.train = train
main(["train", "figures.yaml", "--json"])
modules = sorted(name for name in sys.modules if name.split(".")[0] == "onerun")
print(json.dumps({"frames": frames, "modules": modules}))
"""


@dataclass(frozen=True)
class Figure:
    """One measurement beside its target."""

    what: str
    value: str
    target: str


@dataclass(frozen=True)
class Source:
    """One file of the product."""

    path: Path
    text: str
    tree: ast.Module

    @property
    def lines(self) -> int:
        """How many lines it has."""
        return self.text.count("\n")


def sources() -> list[Source]:
    """Return every Python file of the product."""
    found = []
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            text = path.read_text(encoding="utf-8")
            found.append(Source(path, text, ast.parse(text)))
    return found


def sizes(files: list[Source]) -> Iterator[Figure]:
    """Yield how much there is to read, and in what pieces."""
    lengths = [file.lines for file in files if file.path.name != "__init__.py"]
    quantiles = statistics.quantiles(lengths, n=10)
    yield Figure("product lines", f"{sum(file.lines for file in files):,}", "23,000 to 23,500")
    yield Figure("files", str(len(files)), "<= 170")
    yield Figure("files without package markers", str(len(lengths)), "")
    yield Figure("file median / p90", f"{quantiles[4]:.0f} / {quantiles[8]:.0f}", "130 / 280")


def density(files: list[Source]) -> Iterator[Figure]:
    """Yield how much stands in a line."""
    total = sum(file.lines for file in files)
    nodes = Counter(type(node) for file in files for node in ast.walk(file.tree))
    comprehensions = sum(
        nodes[kind] for kind in (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
    )
    lines = [line for file in files for line in file.text.splitlines()]
    long = sum(len(line) > 110 for line in lines)
    over = sum(len(line) > 100 for line in lines)
    conditional = 100 * nodes[ast.IfExp] / total
    yield Figure("conditional expressions per 100 lines", f"{conditional:.2f}", "<= 1.5")
    yield Figure("comprehensions per 100 lines", f"{100 * comprehensions / total:.2f}", "<= 2.5")
    yield Figure("lines over 110 characters", f"{100 * long / total:.2f} %", "<= 0.5 %")
    yield Figure("lines over 100 characters", f"{100 * over / total:.2f} %", "0 %")


def twice(names: Iterable[str]) -> list[str]:
    """Return the names that occur more than once."""
    return sorted(name for name, count in Counter(names).items() if count > 1)


def meanings(files: list[Source]) -> Iterator[Figure]:
    """Yield names that mean two things, and results without a type."""
    classes = twice(
        node.name
        for file in files
        for node in file.tree.body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )
    modules = twice(file.path.stem for file in files if file.path.stem not in ORDINARY_NAMES)
    functions = [
        node
        for file in files
        for node in ast.walk(file.tree)
        if isinstance(node, ast.FunctionDef) and node.returns is not None
    ]
    returns = Counter(ast.unparse(node.returns) for node in functions if node.returns)
    flows = sum(
        ast.unparse(node.returns) == "dict[str, Any]"
        for node in functions
        if node.returns and any("flow" in ast.unparse(each) for each in node.decorator_list)
    )
    yield Figure("class names used twice", f"{len(classes)} {' '.join(classes)}", "0")
    yield Figure("module names used twice", f"{len(modules)} {' '.join(modules)}", "<= 8")
    yield Figure("flows that return dict[str, Any]", str(flows), "0")
    yield Figure("functions that return dict[str, Any]", str(returns["dict[str, Any]"]), "")
    yield Figure("functions that return str | None", str(returns["str | None"]), "")


def prose(files: list[Source]) -> Iterator[Figure]:
    """Yield how often the private idiom stands in comments, docstrings and messages."""
    words = idioms = 0
    for file in files:
        for token in tokenize.generate_tokens(io.StringIO(file.text).readline):
            if token.type in (tokenize.COMMENT, tokenize.STRING):
                words += len(re.findall(r"[A-Za-z']+", token.string))
                idioms += len(IDIOM.findall(token.string))
    yield Figure("idiom words per 10,000", f"{10_000 * idioms / words:.0f}", "< 5")


def call_path() -> Iterator[Figure]:
    """Yield the path of a real training from the command to the fit, and what it loads."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "figures.yaml").write_text(RECIPE)
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "MLFLOW_DISABLE_TELEMETRY": "true"}
        done = subprocess.run(
            [sys.executable, "-c", TRACE],
            cwd=folder,
            env=environment,
            text=True,
            capture_output=True,
            check=True,
        )
    traced = json.loads(done.stdout.strip().splitlines()[-1])
    ours = [
        (file, name)
        for file, name in traced["frames"]
        if Path(file).is_relative_to(ROOT) and ".venv" not in file
    ]
    files = {file for file, _ in ours}
    yield Figure(
        "frames / files from the command to the fit", f"{len(ours)} / {len(files)}", "9 / 5"
    )
    yield Figure("modules that `onerun train` loads", str(len(traced["modules"])), "<= 75")
    for file, name in ours:
        yield Figure(f"  {Path(file).relative_to(ROOT)}", name, "")


def main() -> None:
    """Print every figure beside its target."""
    files = sources()
    figures = [*sizes(files), *density(files), *meanings(files), *prose(files), *call_path()]
    width = max(len(figure.what) for figure in figures) + 2
    for figure in figures:
        target = f"   (target {figure.target})" if figure.target else ""
        print(f"{figure.what:<{width}}{figure.value}{target}")


if __name__ == "__main__":
    main()
