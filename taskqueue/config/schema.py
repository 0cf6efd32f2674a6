"""JSON Schemas of the configuration files, for editors; `python -m taskqueue.config.schema` writes them to config/."""

from __future__ import annotations

import json
from datetime import time, timedelta
from pathlib import Path

from pydantic import BaseModel, SecretStr
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, JsonSchemaValue
from pydantic_core import CoreSchema

from taskqueue.assets import asset_dir
from taskqueue.config.duration import format_duration
from taskqueue.config.models import TasksFile, format_at_time
from taskqueue.config.settings import ApiSettings, SchedulerSettings, WorkerSettings

_MODELS: dict[str, type[BaseModel]] = {
    "scheduler": SchedulerSettings,
    "worker": WorkerSettings,
    "api": ApiSettings,
    "tasks": TasksFile,
}


class _Schema(GenerateJsonSchema):
    """Says which dialect it is, writes defaults as YAML does, and drops titles, which only repeat the keys."""

    def generate(self, schema: CoreSchema, mode: JsonSchemaMode = "validation") -> JsonSchemaValue:
        return {"$schema": self.schema_dialect, **super().generate(schema, mode)}

    def encode_default(self, dft: object) -> object:
        match dft:
            case timedelta():
                return format_duration(dft)
            case time():
                return format_at_time(dft)
            case SecretStr():
                # What stands in the code is no secret.
                return dft.get_secret_value()
            case _:
                return super().encode_default(dft)

    def field_title_should_be_set(self, schema: object) -> bool:
        return False


def schema_texts() -> dict[str, str]:
    """Return the text of each schema by the name of its file, such as `tasks.schema.json`."""
    return {
        f"{name}.schema.json": json.dumps(model.model_json_schema(schema_generator=_Schema), indent=2) + "\n"
        for name, model in _MODELS.items()
    }


def write_schemas(directory: Path) -> None:
    """Write all schemas to `directory`."""
    for name, text in schema_texts().items():
        (directory / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write_schemas(asset_dir("config"))
