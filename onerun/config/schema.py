"""`python -m onerun.config.schema` writes the JSON schemas with which editors complete and check recipes and policies."""

import json
from pathlib import Path

from pydantic import BaseModel

from onerun.config.policy import Policy
from onerun.config.recipe import Recipe

ROOT = Path(__file__).parents[2]
PATH = ROOT / "recipes" / "recipe.schema.json"
POLICY_PATH = ROOT / "policies" / "policy.schema.json"


def schema_text(model: type[BaseModel] = Recipe, title: str = "onerun recipe") -> str:
    """Return the schema as the file holds it."""
    schema = model.model_json_schema(by_alias=True) | {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": title,
    }
    return json.dumps(schema, indent=1, ensure_ascii=False) + "\n"


def policy_schema_text() -> str:
    """Return the policy's schema as the file holds it."""
    return schema_text(Policy, "onerun policy")


if (
    __name__ == "__main__"
):  # into the working folder: a checkout, or a project that `onerun init` made
    for path, text in ((PATH, schema_text()), (POLICY_PATH, policy_schema_text())):
        path.relative_to(ROOT).write_text(text)
