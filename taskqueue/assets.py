"""Where the files beside the code are: `lua/` and `config/`, in a checkout or inside an installed wheel."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

_PACKAGE = Path(__file__).resolve().parent


def asset_dir(name: Literal["lua", "config"]) -> Path:
    """Return the directory that holds the assets called `name`.

    A wheel carries them under `taskqueue/_data`; in a checkout they lie beside the package.
    """
    bundled = _PACKAGE / "_data" / name
    return bundled if bundled.is_dir() else _PACKAGE.parent / name
