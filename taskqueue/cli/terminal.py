"""Text of other systems on a terminal."""

from __future__ import annotations


def printable(text: str) -> str:
    r"""Return `text` with what a terminal would act on, or show nothing for, as escapes such as `\x1b` and `\u202e`.

    Otherwise a user id could move the cursor, set the title or turn the order of the characters around.
    """
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )
