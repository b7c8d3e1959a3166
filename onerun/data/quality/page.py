"""Great Expectations' Data Docs as a page that loads nothing and runs nothing."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

PAGES = Path(__file__).parent / "pages"


def render(whole: Any, source: str, rows: int, lines: Sequence[str]) -> str:
    """Returns: the library's own sections about an ExpectationSuiteValidationResult, inside a page of ours
    that begins with `lines`, one for each expectation that does not hold.

    The library's page brings styles, scripts and a logo from the internet, the logo with the context's id.
    """
    from great_expectations.render.renderer import ValidationResultsPageRenderer
    from great_expectations.render.view import DefaultJinjaPageView
    from jinja2 import ChoiceLoader, FileSystemLoader

    view = DefaultJinjaPageView()
    view.env.loader = ChoiceLoader([FileSystemLoader(PAGES), view.env.loader])
    document = ValidationResultsPageRenderer().render(whole)
    facts = {"source": source, "rows": rows, "lines": lines, "expectations": len(whole.results)}
    return str(view.render(document, template="validation.j2", **facts))
