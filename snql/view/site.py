"""What pages are made from: the database, opened for each of them and closed again."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from snql.db.connection import Access, Database
from snql.reporting.sources import labels
from snql.view.options import DEFAULTS, ViewOptions
from snql.view.turns import Turns


@dataclass(frozen=True)
class Page:
    """A page before it is written: a template with its values. section: which entry of the menu it belongs to."""

    template: str
    title: str
    section: str
    values: Mapping[str, object]


@dataclass(frozen=True)
class Site:
    """One database, and those whose runs can be put beside its own.

    ``remembered`` holds what takes long to find and cannot change, such as the sentences of a finished run.
    """

    path: Path
    options: ViewOptions = DEFAULTS
    turns: Turns = field(default_factory=Turns)
    remembered: dict[object, object] = field(default_factory=dict)

    @contextmanager
    def reading(self, *, long: bool = False) -> Iterator[Database]:
        """The database, as it is now for the whole block. long: for a query of anybody's, which may take many seconds.

        Raises DatabaseError if it cannot be read.
        """
        with self.turns.turn(long=long), Database(self.path, access=self._access, checked=True) as db, db.reading():
            yield db

    @property
    def _access(self) -> Access:
        return Access(memory=self.options.memory, threads=self.options.threads)

    def databases(self, *, checked: bool = True) -> dict[str, Database]:
        """All databases by their labels, the site's own first; each has connections of its own.

        checked: whether they were read before, as all are when the server begins.
        """
        paths = (self.path, *self.options.compare)
        named = zip(labels(paths), paths, strict=True)
        return {label: Database(path, access=self._access, checked=checked) for label, path in named}
