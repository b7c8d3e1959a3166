"""A flow takes the options of a command as its parameters.

So names, defaults, bounds and help stand in one place.
"""

import inspect
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from pydantic import Field
from pydantic.fields import FieldInfo

from onerun.commands.options import Options, fields_of

AnyOptions = TypeVar("AnyOptions", bound=Options)
AnyResult = TypeVar("AnyResult")
OF_THE_COMMAND_LINE = ("as_json", "traceback")


def parameters_of(
    options: type[AnyOptions], without: tuple[str, ...] = ()
) -> Callable[[Callable[[AnyOptions], AnyResult]], Callable[..., AnyResult]]:
    """Decorate a function of the options; Prefect then sees one parameter for each field.

    Args:
        without: fields that mean nothing in a flow, such as a report on this machine's disk.
    """
    left_out = {*OF_THE_COMMAND_LINE, *without}
    fields = {name: each for name, each in fields_of(options).items() if name not in left_out}
    required_first = sorted(fields.items(), key=lambda item: not item[1].is_required())
    signature = inspect.Signature([_parameter(name, each) for name, each in required_first])

    def decorate(function: Callable[[AnyOptions], AnyResult]) -> Callable[..., AnyResult]:
        def flow_function(*args: Any, **kwargs: Any) -> AnyResult:
            given = signature.bind(*args, **kwargs).arguments
            stated = {name: value for name, value in given.items() if value is not None}
            return function(options.from_arguments(stated))

        flow_function.__name__ = function.__name__
        flow_function.__qualname__ = function.__qualname__
        flow_function.__module__ = function.__module__
        flow_function.__doc__ = _docstring(function, fields)
        flow_function.__signature__ = signature  # type: ignore[attr-defined]
        flow_function.__annotations__ = {
            each.name: each.annotation for each in signature.parameters.values()
        }
        return flow_function

    return decorate


def _parameter(name: str, field: FieldInfo) -> inspect.Parameter:
    """Return the parameter of a field. A list may be left empty in a form, which sends null."""
    default: Any = inspect.Parameter.empty
    kind: Any = field.annotation
    if not field.is_required():
        default = field.get_default(call_default_factory=True)
    if isinstance(default, list):
        kind, default = kind | None, default or None
    described = Field(description=field.description)
    return inspect.Parameter(
        name,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
        default=default,
        annotation=Annotated[kind, described, *field.metadata],
    )


def _docstring(function: Callable[..., Any], fields: dict[str, FieldInfo]) -> str:
    """Return the function's docstring with a line for each parameter, for Prefect's pages."""
    lines = [f"    {name}: {each.description}" for name, each in fields.items()]
    return "\n".join([f"{inspect.getdoc(function) or ''}\n\nArgs:", *lines])
