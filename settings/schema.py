"""`python -m settings.schema` writes the recipe's JSON schema, with which editors complete and check recipes."""

import json
from pathlib import Path

from settings.recipe import Recipe

PATH = Path(__file__).parents[1] / "recipes" / "recipe.schema.json"


def schema_text() -> str:
    """Returns: the schema as the file holds it."""
    schema = Recipe.model_json_schema(by_alias=True) | {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "onerun recipe",
    }
    return json.dumps(schema, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    PATH.write_text(schema_text())
