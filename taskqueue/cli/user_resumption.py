"""Going on with an import of users where an earlier one of the same files stopped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import typer

from taskqueue.cli.user_batches import Batch, RedisWriter
from taskqueue.config.user_file import Entry
from taskqueue.errors import ConfigError, StoreError, StoreUnavailableError
from taskqueue.store.import_marks import ImportMark


class Resumption:
    """Which lines of the files were written before; what `skips` has passed over is not to be written again.

    `names` has what the files are called in messages, by the names of their marks.
    """

    def __init__(self, names: Mapping[str, str], marks: Mapping[str, ImportMark]) -> None:
        self._names = names
        self._marks = dict(marks)

    @property
    def goes_on(self) -> bool:
        """Whether anything was written before."""
        return bool(self._marks)

    def tell(self) -> None:
        """Say from where on each file is read."""
        for file, name in self._names.items():
            mark = self._marks.get(file)
            begin = "no import of it is unfinished; it is read from its beginning"
            typer.echo(f"{name}: {begin if mark is None else f'going on behind line {mark.line}'}", err=True)

    def skips(self, file: str, entry: Entry) -> bool:
        """Return whether the line was written before. Raises ConfigError when the file is not what it was then."""
        mark = self._marks.get(file)
        if mark is None or entry.line < mark.line:
            return mark is not None
        del self._marks[file]
        if (entry.line, entry.checksum) != (mark.line, mark.checksum):
            raise self._changed(file, mark)
        return True

    def check_end(self, file: str) -> None:
        """Raise ConfigError when the file has ended before the lines that were written of it did."""
        if (mark := self._marks.get(file)) is not None:
            raise self._changed(file, mark)

    def _changed(self, file: str, mark: ImportMark) -> ConfigError:
        return ConfigError(
            f"{self._names[file]}: its lines up to {mark.line} are not those that were imported; "
            "import it without --resume"
        )


class Notes:
    """Notes in Redis how far the files have come; where Redis refuses, that is told once, and nothing more is noted.

    Nor is anything without a `writer`.
    """

    def __init__(self, writer: RedisWriter | None) -> None:
        self._writer = writer

    def begin(self, files: Iterable[str]) -> None:
        """Forget how far earlier imports of the files came: what they wrote is written anew."""
        if self._writer is None:
            return
        try:
            self._writer.forget_marks(files)
        except StoreUnavailableError:
            return  # the first batch meets it as well, and ends the import
        except StoreError as error:
            self._give_up(error)

    def reached(self, batch: Batch) -> None:
        """Note that the batch is written."""
        if self._writer is None or not batch.marks:
            return
        try:
            self._writer.set_marks(batch.marks)
        except StoreError as error:
            self._give_up(error)

    def finished(self, files: Iterable[str]) -> None:
        """Note that all files are imported to their ends."""
        if self._writer is None:
            return
        try:
            self._writer.forget_marks(files)
        except StoreError as error:
            typer.echo(f"warning: --resume will take this import for unfinished: {error}", err=True)

    def _give_up(self, error: StoreError) -> None:
        self._writer = None
        typer.echo(f"warning: how far it comes cannot be noted, and --resume will not know: {error}", err=True)
