"""Values of which there are many: immutable for whoever reads or checks the code, cheap to make while it runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar, dataclass_transform

_T = TypeVar("_T")


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(field,))
def value(cls: type[_T]) -> type[_T]:
    """Make `cls` a dataclass of keyword arguments that the type checker takes for frozen.

    A frozen dataclass sets each field through `object.__setattr__`, and takes three times as long to make: a dozen of
    them are made for each job. So here it is mypy that refuses an assignment, and the program does not check again.
    """
    return dataclass(slots=True, kw_only=True, unsafe_hash=True)(cls)
