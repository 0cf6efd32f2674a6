"""Settings in the environment: `TASKQUEUE_REDIS__DB=1`, `TASKQUEUE_QUEUE__URL_FILE=/run/secrets/amqp`.

pydantic-settings has a source for this, but it takes a misspelt name for no setting at all, cannot say which variable
held a wrong value, and reads `30` as 30 seconds.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from taskqueue.config.yaml_source import Loc, scalar_value
from taskqueue.errors import ConfigError

PREFIX = "TASKQUEUE_"

#: sections of all processes: one environment may serve them all, and each ignores what is not its own
SECTIONS = frozenset(
    {
        "api",
        "execution",
        "guard",
        "monitoring",
        "queue",
        "rate_limit",
        "redis",
        "scheduler",
        "server",
        "tasks",
        "worker",
    }
)
#: names that are no settings of a file
_OTHER_NAMES = frozenset(
    {
        "TASKQUEUE_API_URL",
        "TASKQUEUE_DEBUG",
        "TASKQUEUE_MANAGEMENT_URL",
        "TASKQUEUE_TOKEN",
        "TASKQUEUE_TOKEN_FILE",
    }
)
_OTHER_PREFIXES = ("TASKQUEUE_TEST_", "TASKQUEUE_DEV_")
_FILE = "_FILE"
#: a secret is short; a larger file is the wrong one
_MAX_FILE_BYTES = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class _Setting:
    section: str
    key: str
    field: FieldInfo


class EnvironmentSource(PydanticBaseSettingsSource):
    """The overrides in `environ`, as a source of pydantic-settings.

    `variables` says which variable gave which (section, key). Raises ConfigError with a line for each unknown name,
    unreadable file and setting that two variables give.
    """

    def __init__(self, settings_cls: type[BaseSettings], environ: Mapping[str, str]) -> None:
        super().__init__(settings_cls)
        self.variables: dict[Loc, str] = {}
        self._overrides: dict[str, dict[str, object]] = {}
        self._known = {_variable(setting): setting for setting in _settings_of(settings_cls)}
        problems = list[str]()
        for name in sorted(name for name in environ if name.startswith(PREFIX)):
            try:
                self._take(name, environ[name])
            except ConfigError as error:
                problems += error.problems
        if problems:
            raise ConfigError(*problems)

    def __call__(self) -> dict[str, object]:
        """Return the overrides by section and key."""
        return dict(self._overrides)

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[object, str, bool]:
        """Return the overrides of one section, as the base class wants them."""
        return self._overrides.get(field_name), field_name, False

    def _take(self, name: str, value: str) -> None:
        if name in self._known:
            self._override(name, self._known[name], value)
        elif name.endswith(_FILE) and name.removesuffix(_FILE) in self._known:
            self._override(name, self._known[name.removesuffix(_FILE)], _file_content(name, value))
        elif not self._is_for_others(name):
            raise ConfigError(f"{name}: unknown variable; {self._nearest(name)}")

    def _override(self, name: str, setting: _Setting, text: str) -> None:
        loc = (setting.section, setting.key)
        if loc in self.variables:
            raise ConfigError(f"{name}: {self.variables[loc]} gives the same setting; unset one of them")
        self.variables[loc] = name
        self._overrides.setdefault(setting.section, {})[setting.key] = _meaning(name, setting.field, text)

    def _nearest(self, name: str) -> str:
        word = name.removeprefix(PREFIX).upper()
        variables = get_close_matches(word, [each.removeprefix(PREFIX) for each in (*self._known, *_OTHER_NAMES)], n=1)
        if variables:
            return f"did you mean {PREFIX}{variables[0]}?"
        sections = get_close_matches(word.partition("__")[0], [each.upper() for each in SECTIONS], n=1)
        return f"did you mean {PREFIX}{sections[0]}__…?" if sections else "see docs/configuration.md for the names"

    def _is_for_others(self, name: str) -> bool:
        if name in _OTHER_NAMES or name.startswith(_OTHER_PREFIXES):
            return True
        section, separator, _ = name.removeprefix(PREFIX).partition("__")
        foreign = section.lower() in SECTIONS - set(self.settings_cls.model_fields)
        return bool(separator) and section.isupper() and foreign


def _settings_of(settings_cls: type[BaseSettings]) -> Iterator[_Setting]:
    for section, holder in settings_cls.model_fields.items():
        if isinstance(holder.annotation, type) and issubclass(holder.annotation, BaseModel):
            for name, field in holder.annotation.model_fields.items():
                yield _Setting(section=section, key=field.alias or name, field=field)


def _variable(setting: _Setting) -> str:
    return f"{PREFIX}{setting.section}__{setting.key}".upper()


def _meaning(name: str, field: FieldInfo, text: str) -> object:
    """Return the value that `text` means for `field`: itself where that is valid, else JSON or a YAML scalar."""
    try:
        TypeAdapter(field.rebuild_annotation()).validate_python(text, strict=True)
    except ValidationError:
        pass
    else:
        return text
    if not text.lstrip().startswith(("[", "{")):
        return scalar_value(text)
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise ConfigError(f"{name}: not JSON; write a list or mapping as JSON, with double quotes") from None


def _file_content(name: str, path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            content = file.read(_MAX_FILE_BYTES + 1)
        text = content.decode()
    except OSError as error:
        # Its name stays unsaid: whoever mixes the variables up has put the secret itself here.
        raise ConfigError(f"{name}: its file cannot be read: {error.strerror}; check path and permissions") from None
    except ValueError:
        raise ConfigError(f"{name}: not the path of a UTF-8 text file; check the path") from None
    if len(content) > _MAX_FILE_BYTES:
        raise ConfigError(f"{name}: its file is larger than {_MAX_FILE_BYTES:,} bytes; check the path")
    # Editors and `echo` end the file with a newline that is no part of the secret.
    value = text.removesuffix("\n").removesuffix("\r")
    if not value:
        # Most likely a secret that was never filled in: to go on without a password would hide that.
        raise ConfigError(f"{name}: its file is empty; write the value into it, or unset {name}")
    return value
