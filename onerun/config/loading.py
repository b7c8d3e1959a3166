"""A recipe or a policy, from YAML and the command line to a checked model; each mistake with its file, line and key."""

import copy
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from onerun.config import lookup, yaml_lines
from onerun.config.fields import MEANING
from onerun.config.mistakes import Mistake, Mistakes, did_you_mean
from onerun.config.policy import Policy
from onerun.config.recipe import Recipe
from onerun.config.yaml_lines import dotted

AnyModel = TypeVar("AnyModel", bound=BaseModel)


@dataclass(frozen=True)
class Kind(Generic[AnyModel]):
    """A kind of document: what it is called, the folder that its short names stand for, what it becomes."""

    name: str
    folder: str
    model: type[AnyModel]


RECIPE = Kind("recipe", "recipes", Recipe)
POLICY = Kind("policy", "policies", Policy)
POSITION = re.compile(r"[0-9]{1,9}")  # of a list's item


@dataclass(frozen=True)
class Document:
    """What was asked, before it is checked: plain values and where each came from."""

    source: str
    values: dict[str, Any]
    lines: dict[yaml_lines.Path, int] = field(default_factory=dict)
    overrides: frozenset[str] = frozenset()

    def mistake(self, path: yaml_lines.Path, message: str) -> Mistake:
        """Return a mistake that names the nearest line, or the `--set` that brought the value."""
        key = dotted(path)
        if any(key == name or key.startswith(f"{name}.") for name in self.overrides):
            return Mistake(key, message, "--set")
        if path not in self.lines and any(name.startswith(f"{key}.") for name in self.overrides):
            return Mistake(key, message, "--set")  # a section that only an override named
        while path and path not in self.lines:
            path = path[:-1]
        return Mistake(key, message, self.source, self.lines.get(path))

    def placed(self, mistakes: Sequence[Mistake]) -> list[Mistake]:
        """Return mistakes that know only their key, with file and line added."""
        return [self.mistake(self._path(mistake.key), mistake.message) for mistake in mistakes]

    def _path(self, key: str) -> yaml_lines.Path:
        known = {dotted(path): path for path in self.lines}
        return known.get(key, tuple(key.split(".")))


def read_document(
    recipe: str | Mapping[str, Any],
    overrides: Sequence[str] = (),
    data: str | None = None,
    kind: Kind[Any] = RECIPE,
) -> Document:
    """Read a recipe, or a document of another kind, and lay overrides over it.

    Args:
        recipe: path of a YAML file, a name such as `wine` (onerun/config/lookup.py), YAML text itself (it holds a line
            break, or is one line of JSON such as `{"name": ...}`), or the keys and values that such a text stands for.
        overrides: `key.path=value`, values as in YAML.
        data: stands in for data.source.
    Raises: Mistakes when the file is missing or unreadable, or an override has no key.
    """
    source, values, lines = _read(recipe, kind)
    assignments = [_assignment(override) for override in overrides]
    assignments += [(("data", "source"), data)] if data is not None else []
    values = copy.deepcopy(values)
    for path, value in assignments:
        _assign(values, path, value)
    return Document(source, values, lines, frozenset(dotted(path) for path, _ in assignments))


def _read(
    recipe: str | Mapping[str, Any], kind: Kind[Any]
) -> tuple[str, dict[str, Any], dict[yaml_lines.Path, int]]:
    """Return where the document came from, its values, and the line of each key."""
    if isinstance(recipe, Mapping):
        return kind.name, dict(recipe), {}
    is_text = "\n" in recipe or recipe.lstrip().startswith("{")
    source, text = (kind.name, recipe) if is_text else _read_file(recipe, kind)
    return source, *yaml_lines.parse(text, source, kind.name)


def check_document(document: Document) -> Recipe:
    """Return the typed recipe. Raises: Mistakes, all of them at once."""
    return checked(document, RECIPE)


def checked(document: Document, kind: Kind[AnyModel]) -> AnyModel:
    """Return the typed document. Raises: Mistakes, all of them at once."""
    values = document.values
    if "name" not in values and document.source.endswith((".yaml", ".yml")):
        values = {"name": Path(document.source).stem, **values}
    try:
        return kind.model.model_validate(values)
    except ValidationError as error:
        found = {_translated(document, entry, kind.model) for entry in error.errors()}
        raise Mistakes(sorted(found, key=_by_line)) from None


def load_policy(policy: str, overrides: Sequence[str] = ()) -> Policy:
    """Return the checked policy: a YAML file, the name of one in `policies/`, or YAML text. Raises: Mistakes."""
    return checked(read_document(policy, overrides, kind=POLICY), POLICY)


def load_recipe(recipe: str, overrides: Sequence[str] = (), data: str | None = None) -> Recipe:
    """Return the checked recipe. Raises: Mistakes."""
    return check_document(read_document(recipe, overrides, data))


def _by_line(mistake: Mistake) -> tuple[int, str]:
    return (mistake.line or 0, mistake.key)


def _read_file(recipe: str, kind: Kind[Any]) -> tuple[str, str]:
    path = Path(recipe)
    try:
        if not path.is_file():
            path = lookup.find(kind.folder, recipe) or path
        if path.stat().st_size > yaml_lines.LONGEST_DOCUMENT:
            raise Mistakes(
                [
                    Mistake(
                        "",
                        f"larger than {yaml_lines.LONGEST_DOCUMENT:,} bytes; a {kind.name} holds no data",
                        recipe,
                    )
                ]
            )
        return str(path), path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise Mistakes(
            [Mistake("", f"no such {kind.name}{_near_file(path, kind.folder)}", recipe)]
        ) from None
    except UnicodeDecodeError as error:
        raise Mistakes(
            [Mistake("", f"not UTF-8 text (byte {error.start}); save it as UTF-8", recipe)]
        ) from None
    except OSError as error:
        raise Mistakes([Mistake("", f"cannot be read: {error.strerror}", recipe)]) from None
    except ValueError:  # a character that no file's name holds
        raise Mistakes(
            [Mistake("", f"{recipe!r} cannot be the name of a file", f"--{kind.name}")]
        ) from None


def _near_file(path: Path, folder: str) -> str:
    """Return what to add to "no such ...": the nearest file, or the parent folder that has this one."""
    try:
        named = lookup.known(folder)
        known = [str(each) for each in (*path.parent.glob("*.y*ml"), *named)]
        known += [each.stem for each in named]
        elsewhere = lookup.missing_from_here(folder, str(path))
    except OSError:
        return ""
    near = get_close_matches(str(path), known, n=1, cutoff=0.5)
    return elsewhere or (f"; did you mean {near[0]}?" if near else "")


def _assignment(override: str) -> tuple[yaml_lines.Path, Any]:
    key, equals, value = override.partition("=")
    if not equals or not all(key.split(".")):
        raise Mistakes(
            [
                Mistake(
                    "", f"expected key.path=value, such as split.seed=7, got {override!r}", "--set"
                )
            ]
        )
    path = key.strip().split(".")
    return tuple(
        int(part) if POSITION.fullmatch(part) else part for part in path
    ), yaml_lines.scalar(value)


def _assign(values: dict[str, Any], path: yaml_lines.Path, value: Any) -> None:
    """Set `path`, making the sections on the way; a wrong key is found by the recipe's own check afterwards."""
    here: Any = values
    for depth, part in enumerate(path[:-1]):
        here = _entered(here, part, path[:depth])
    last = _place(here, path[-1], path[:-1])
    here[last] = value


def _entered(here: Any, part: str | int, so_far: yaml_lines.Path) -> Any:
    place = _place(here, part, so_far)
    if isinstance(here, dict) and here.get(place) is None:
        here[place] = {}
    return here[place]


def _place(here: Any, part: str | int, so_far: yaml_lines.Path) -> Any:
    """Return `part` as a key or position of `here`. Raises: Mistakes when it can be neither."""
    path = dotted((*so_far, part))
    if isinstance(here, dict):
        return str(part)
    if not isinstance(here, list):
        raise Mistakes(
            [Mistake(path, f"{dotted(so_far)} is a single value, not a section", "--set")]
        )
    if not isinstance(part, int) or part >= len(here):
        raise Mistakes(
            [Mistake(path, f"{dotted(so_far)} has {len(here)} items; count from 0", "--set")]
        )
    return part


PLAIN_MESSAGES = {
    "string_type": "expected a string",
    "int_type": "expected a whole number",
    "float_type": "expected a number",
    "bool_type": "expected true or false",
    "dict_type": "expected a section of keys",
    "model_type": "expected a section of keys",
    "tuple_type": "expected a list",
    "finite_number": "expected a finite number",
}


def _translated(document: Document, entry: Mapping[str, Any], model: type[BaseModel]) -> Mistake:
    """One line for one of pydantic's errors: what was expected, what came, the near miss."""
    path = tuple(
        part
        for part in entry["loc"]
        if part not in ("threshold", "better_than") or _is_key(document, entry["loc"])
    )
    kind, came = entry["type"], entry["input"]
    if kind == "extra_forbidden":
        return document.mistake(
            path, f"unknown key{did_you_mean(str(path[-1]), _keys_at(model, path[:-1]))}"
        )
    if kind == "missing":
        return document.mistake(path, "is missing")
    message = PLAIN_MESSAGES.get(kind) or entry["msg"].removeprefix("Value error, ").replace(
        "Input should", "should"
    )
    if kind == "string_pattern_mismatch":
        message = MEANING.get(entry["ctx"]["pattern"], message)
    if kind == "literal_error":
        message += did_you_mean(
            str(came),
            str(entry["ctx"]["expected"]).replace("'", "").replace(" or ", ", ").split(", "),
        )
    shown = (
        ""
        if isinstance(came, BaseModel)
        or (kind == "value_error" and isinstance(came, dict))
        or kind == "password"
        else f", got {_short(came)}"
    )
    return document.mistake(path, message + shown)


def _is_key(document: Document, location: tuple[str | int, ...]) -> bool:
    return location in document.lines


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _keys_at(model: type[BaseModel], path: yaml_lines.Path) -> list[str]:
    """Return the keys that the model knows at `path`."""
    schema = model.model_json_schema()
    here: dict[str, Any] = schema
    for part in path:
        here = _resolved(
            schema,
            here.get("items", {})
            if isinstance(part, int)
            else here.get("properties", {}).get(part, {}),
        )
    return [
        key
        for option in (here, *here.get("oneOf", ()))
        for key in _resolved(schema, option).get("properties", {})
    ]


def _resolved(schema: dict[str, Any], here: dict[str, Any]) -> dict[str, Any]:
    options = [option for option in here.get("anyOf", ()) if "$ref" in option]
    reference = here.get("$ref") or (options[0]["$ref"] if options else None)
    return schema["$defs"][reference.rsplit("/", 1)[-1]] if reference else here
