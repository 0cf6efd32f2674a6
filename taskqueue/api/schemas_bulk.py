"""The bodies of bulk requests and their answers."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, WithJsonSchema

from taskqueue.api.schemas import AnswerBody, RequestBody

#: Each is judged on its own, so that one mistake does not stop the others: here, any object will do.
_GivenTask = Annotated[
    dict[str, Any],
    WithJsonSchema({"type": "object", "description": "As in POST /api/v1/tasks; refused for itself where it is not."}),
]


class BulkCreate(RequestBody):
    """New tasks."""

    tasks: Annotated[list[_GivenTask], Field(min_length=1)]
    """As many as api.max_bulk allows, 1,000 unless set."""


class WrongField(AnswerBody):
    """One wrong field of one of many."""

    pointer: str
    """Where it is in the whole body: a JSON pointer, as in /tasks/3/task_name."""
    detail: str
    """What is wrong with it, and what to send instead."""


class BulkProblem(AnswerBody):
    """Why one of many was refused."""

    index: int
    """Its position in the request, from 0."""
    task_id: Annotated[str | None, Field(exclude_if=lambda value: value is None)] = None
    """Its id, where it has one."""
    code: str
    """What is wrong, as a stable word for programs."""
    detail: str
    """What is wrong, and what to do about it."""
    errors: list[WrongField] = Field(default_factory=list, exclude_if=lambda value: not value)
    """Each wrong field."""


class BulkCreated(AnswerBody):
    """What became of many new tasks."""

    created: int
    """How many were made."""
    failed: int
    """How many were refused."""
    task_ids: list[str]
    """Those that were made, in the order of the request."""
    errors: list[BulkProblem] = Field(default_factory=list, exclude_if=lambda value: not value)
    """Those that were refused; not there where none was."""


class BulkDelete(RequestBody):
    """Tasks to delete."""

    task_ids: Annotated[list[Annotated[str, Field(min_length=1, max_length=200)]], Field(min_length=1)]
    """As many as api.max_bulk allows, 1,000 unless set. One that stands there twice counts once."""


class BulkDeleted(AnswerBody):
    """What became of many tasks that were to be deleted."""

    deleted: int
    """How many are gone now."""
    failed: int
    """How many are not there, or could not be deleted."""
    errors: list[BulkProblem] = Field(default_factory=list, exclude_if=lambda value: not value)
    """Those that failed; not there where none did."""
