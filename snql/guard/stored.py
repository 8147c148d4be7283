"""A guard from the database, or from the folder that it was saved in."""

from pathlib import Path

from snql.db import guards
from snql.db.connection import Database
from snql.errors import InputError
from snql.guard.files import WORDS
from snql.guard.model import Guard
from snql.guard.parts import Linear
from snql.neurons.sets import Shape


def read_guard(db: Database, name: str) -> Guard:
    """The trained guard of that name in the database; raises InputError if there is none."""
    with db.reading():
        found = guards.find_guard(db, name)
        shape = Shape(**found.about["shape"])
        members = guards.read_classifiers(db, found.run_id, shape)[0].members
        linear = Linear(**guards.read_weights(db, found.run_id)[0])
    return Guard.of(found.about, members, linear)


def load_guard(db: Database, name: str) -> Guard:
    """A guard by its name in the database, or by a folder with guard.json; raises InputError if there is neither."""
    folder = Path(name)
    if (folder / WORDS).is_file():
        return Guard.load(folder)
    if folder.is_dir() and not db.path.exists():
        raise InputError(f"no guard in {folder}: it has no {WORDS}")
    return read_guard(db, name)
