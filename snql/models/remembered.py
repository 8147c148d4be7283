"""What was found out about files and must not be found out again: beside the hub's cache, small files by key.

Nothing here is needed: where the folder cannot be written, or an entry cannot be read, the work is done again.
"""

import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile

FOLDER = "SNQL_CACHE"
"""The environment variable that names another folder."""


def folder() -> Path:
    """Where it is kept: ``$SNQL_CACHE``, or ``snql`` beside the hub's own cache."""
    from huggingface_hub.constants import HF_HOME

    return Path(os.environ.get(FOLDER) or Path(HF_HOME) / "snql")


def recall(kind: str, key: str) -> str | None:
    """What was remembered under a key, or None."""
    try:
        entry = json.loads(_place(kind, key).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    found = entry.get("value") if isinstance(entry, dict) and entry.get("key") == key else None
    return found if isinstance(found, str) else None


def remember(kind: str, key: str, value: str) -> None:
    """Keep a value; whoever reads at the same time sees the old entry or the new one."""
    place = _place(kind, key)
    with suppress(OSError):
        place.parent.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile("w", dir=place.parent, encoding="utf-8", delete=False) as file:
            file.write(json.dumps({"key": key, "value": value}))
        Path(file.name).replace(place)


def _place(kind: str, key: str) -> Path:
    return folder() / kind / f"{hashlib.sha256(key.encode()).hexdigest()}.json"
