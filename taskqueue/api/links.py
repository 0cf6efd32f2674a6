"""Links of the OpenAPI document: what of one answer the requests are about that usually follow it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

_OF_A_TASK = ("task_id",)
_OF_AN_EXECUTION = ("execution_id",)

#: by operation and status: the operations that may follow, and the members of the answer that are their parameters
_FOLLOWING: dict[tuple[str, str], dict[str, tuple[str, ...]]] = {
    ("create_task", "201"): dict.fromkeys(
        (
            "get_task",
            "update_task",
            "delete_task",
            "pause_task",
            "resume_task",
            "trigger_task",
            "list_executions",
            "get_task_stats",
            "add_dependency",
            "list_dependencies",
        ),
        _OF_A_TASK,
    ),
    ("trigger_task", "202"): dict.fromkeys(
        ("get_execution", "get_execution_logs", "append_execution_logs", "cancel_execution"), _OF_AN_EXECUTION
    ),
    ("add_dependency", "201"): {"remove_dependency": ("task_id", "dependency_id")},
}


def add_links(operations: Iterable[dict[str, Any]]) -> None:
    """Add to each answer of `operations` its links (OpenAPI 3.1, section 4.8.20)."""
    by_id = {operation["operationId"]: operation for operation in operations}
    for (operation_id, status), following in _FOLLOWING.items():
        # A document of other endpoints than ours may lack some.
        if operation_id not in by_id:
            continue
        by_id[operation_id]["responses"][status]["links"] = {
            other: {"operationId": other, "parameters": {name: f"$response.body#/{name}" for name in names}}
            for other, names in following.items()
            if other in by_id
        }
