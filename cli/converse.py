"""The plain prompt of ``snql shell``: several lines up to a ``;``, completion, history."""

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

from snql.db.connection import Database
from snql.errors import DatabaseError
from snql.querying.suggest import Names, complete, read_names, split

from .render import note, plain
from .session import Session
from .state import State

_SECONDS_FOR_NAMES = 0.3


class NamesOf(Completer):
    """Completes names of a database, as they are when a line is begun."""

    def __init__(self, path: Path) -> None:
        self._db = Database(path, _SECONDS_FOR_NAMES)
        self._names = Names()

    def refresh(self) -> None:
        """Read the names again; those known stay if a job is writing."""
        try:
            self._names = read_names(self._db)
        except DatabaseError:
            return

    def get_completions(self, document: Document, _: CompleteEvent) -> Iterable[Completion]:
        for found in complete(self._names, document.text, document.cursor_position):
            text = str(plain(found.text))
            if text == found.text:  # a name with control characters would not be what is shown
                yield Completion(text, start_position=-found.length, display_meta=found.kind)


def history_file() -> Path:
    """Where what was entered is kept: the platform's folder for state, ``XDG_STATE_HOME`` first."""
    state = os.environ.get("XDG_STATE_HOME")
    if state and Path(state).is_absolute():
        return Path(state) / "snql" / "history"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "snql" / "history"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home())) / "snql" / "history"
    return Path.home() / ".local" / "state" / "snql" / "history"


def converse(here: State, **terminal: Any) -> None:
    """Read, run and show until Ctrl-D or ``.quit``. terminal: prompt_toolkit's input and output, for tests."""
    session, names = Session(here), NamesOf(here.database)
    prompt: PromptSession[str] = PromptSession(
        completer=names,
        complete_while_typing=False,
        history=history(),
        multiline=True,
        key_bindings=_keys(),
        prompt_continuation=lambda width, *_: "... ".rjust(width),
        **terminal,
    )
    note(f"{here.database}, read-only: .help says how, Ctrl-D leaves", quiet=here.quiet)
    while not session.ended:
        names.refresh()
        try:
            session.enter(prompt.prompt("snql> "))
        except KeyboardInterrupt:  # what was being written is dropped
            continue
        except EOFError:
            return


def history() -> History:
    """What was entered before, newest first; kept in memory alone where it cannot be written."""
    path = history_file()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(mode=0o600)
    except OSError:
        return InMemoryHistory()
    return FileHistory(path)


def _keys() -> KeyBindings:
    keys = KeyBindings()

    @keys.add("enter")
    def _enter(event: KeyPressEvent) -> None:
        """Run what is complete; otherwise begin another line."""
        buffer = event.current_buffer
        if split(buffer.text)[1]:
            buffer.insert_text("\n")
        else:
            buffer.validate_and_handle()

    return keys
