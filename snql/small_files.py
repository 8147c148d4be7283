"""Small text files that people name: queries, settings, templates, rubrics.

No more is read than such a file can hold, so that a device or a wrong file never fills the memory.
"""

from pathlib import Path

from snql.errors import InputError

MOST_BYTES = 16 << 20


def small_text(path: Path, what: str) -> str:
    """The text of a file, or of a pipe, with line ends as Python has them; a byte-order mark is left out.

    what: how messages call it, such as ``--config``. Raises InputError with the reason where it cannot be read, is not
    UTF-8, or holds more than MOST_BYTES.
    """
    try:
        with path.open("rb") as file:
            held = file.read(MOST_BYTES + 1)
        if len(held) > MOST_BYTES:
            raise InputError(f"{what} {path} holds more than {MOST_BYTES >> 20} MB: name a smaller file")
        return held.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        raise InputError(f"{what} {path} is not UTF-8 text (byte {error.start}): save it in that encoding") from error
    except OSError as error:
        raise InputError(f"{what} {path} cannot be read ({error.strerror}): check the path") from error
