"""Options that several verbs have in common, as the fields of a dataclass."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any

Verb = Callable[..., None]


def grouped(*groups: type[Any]) -> Callable[[Verb], Verb]:
    """Return what turns a verb into a command that has the options of `groups` beside its own.

    Each of `groups` is a dataclass whose fields are annotated as parameters of commands are. The verb gets an instance
    of each, in their order, as its first parameters.
    """
    options = {group: inspect.signature(group, eval_str=True).parameters for group in groups}

    def decorate(verb: Verb) -> Verb:
        own = list(inspect.signature(verb, eval_str=True).parameters.values())[len(groups) :]

        @wraps(verb)
        def run(**values: Any) -> None:
            given = [group(**{name: values.pop(name) for name in names}) for group, names in options.items()]
            verb(*given, **values)

        # What typer makes the options from.
        run.__dict__["__signature__"] = inspect.Signature(
            [
                *(each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in own),
                *(each for names in options.values() for each in names.values()),
            ]
        )
        return run

    return decorate
