"""The Java SDK of this checkout, built by its own script."""

from __future__ import annotations

import functools
import subprocess

from tests.support.sdk_programs import SDK, require

JAVA_SDK = SDK / "java"

#: seconds; with apt-get on a machine that has none of the jars
_WITHIN_S = 110.0


def build(verb: str) -> str:
    """Return what `build.sh verb` prints. Fails the test with all that was said; skips it where there is no JDK."""
    require("java")
    done = subprocess.run(
        [JAVA_SDK / "build.sh", verb],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_WITHIN_S,
        check=False,
    )
    assert done.returncode == 0, f"build.sh {verb} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@functools.cache
def class_path() -> str:
    """Return the class path of the SDK and of the contract's driver."""
    return build("classpath").strip()
