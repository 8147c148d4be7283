"""Kill runs at random moments, resume them each time; run as a program by :mod:`tests.killing`.

Children are forked from a process that has imported everything and computed nothing, so that a try takes a second.
"""

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from snql.contrast import keep, tokens
from snql.contrast.locate import locate
from snql.contrast.options import LocateOptions
from snql.db.connection import Database
from snql.generation.options import WritingOptions
from snql.jobs import work as job
from snql.judges.options import JudgingOptions
from snql.patching import patch as patching
from snql.patching.options import PatchOptions
from snql.progress import Progress, ProgressCallback
from snql.prompts.options import PromptOptions

Work = Callable[[Database, str, ProgressCallback], object]
"""Does a run of that name, or goes on with it."""


def locating(before: str, after: str, prompts: str, store: str) -> LocateOptions:
    """A run of several batches that keeps all activations."""
    source = PromptOptions((prompts,), template="tulu", limit=6)
    return LocateOptions(
        before=before,
        after=after,
        prompts=source,
        writing=WritingOptions(max_new_tokens=16, batch_size=1),
        keep="all",
        store=store,
    )


def works(before: str, after: str, prompts: str, kind: str) -> tuple[Work | None, Work]:
    """What comes first, if anything, and what is killed. kind: ``patch``, or where activations are stored."""
    source = PromptOptions((prompts,), template="tulu", limit=6)
    if kind != "patch":
        located = locating(before, after, prompts, kind)
        return None, lambda db, name, tell: locate(db, name, located, resume=True, progress=tell)
    first = LocateOptions(
        before=before, after=after, prompts=source, writing=WritingOptions(max_new_tokens=4), keep="none"
    )
    options = PatchOptions(
        recipient=before,
        donor=after,
        neurons=("found",),
        prompts=source,
        sweep=("5%", "20%"),
        random=2,
        writing=WritingOptions(max_new_tokens=16, batch_size=4),
        allow_overlap=True,
        judging=JudgingOptions(("refusal",)),
    )
    return (
        lambda db, _, tell: locate(db, "found", first, progress=tell),
        lambda db, name, tell: patching.patch(db, name, options, resume=True, progress=tell),
    )


class Tell:
    """Writes the stage of each progress report to a pipe, a letter each."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe

    def __call__(self, report: Progress) -> None:
        os.write(self._pipe, report.stage[:1].encode())


def child(db: Path, name: str, work: Work) -> tuple[int, int]:
    """Fork a process that works; returns its id and the end of a pipe that tells of its progress."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        try:
            work(Database(db), name, Tell(writing))
        finally:
            os._exit(0 if sys.exc_info()[0] is None else 1)
    os.close(writing)
    return pid, reading


def undisturbed(db: Path, name: str, work: Work) -> float:
    """Seconds from the first report of progress to the end."""
    pid, pipe = child(db, name, work)
    os.read(pipe, 1)
    began = time.monotonic()
    assert os.waitpid(pid, 0)[1] == 0
    return time.monotonic() - began


def killed(db: Path, models: tuple[str, str], prompts: str, kind: str, seed: int, kills: int) -> dict[str, object]:
    """Do one run undisturbed, then runs that are killed until there were so many kills.

    Gives how many runs these were, the stage in which each kill hit, and how long the whole took.
    """
    first, work = works(*models, prompts, kind)
    if first is not None:
        undisturbed(db, "first", first)
    generator = random.Random(seed)
    seconds = undisturbed(db, "whole", work)
    hits: list[str] = []
    runs, finished = 0, False
    while len(hits) < kills or not finished:
        finished = False
        pid, pipe = child(db, f"cut{runs}", work)
        seen = os.read(pipe, 1)
        if len(hits) < kills:
            time.sleep(generator.uniform(0, seconds / 3))
            os.kill(pid, signal.SIGKILL)
        status = os.waitpid(pid, 0)[1]
        seen += os.read(pipe, 1 << 16)
        os.close(pipe)
        if os.WIFSIGNALED(status):
            hits.append(seen.decode()[-1])
        else:
            assert status == 0, status
            runs, finished = runs + 1, True
    return {"runs": runs, "hits": hits, "seconds": seconds}


def at_once(db: Path, models: tuple[str, str], prompts: str) -> dict[str, object]:
    """Two runs in two processes; gives how each ended."""
    _, work = works(*models, prompts, "rows")
    both = [child(db, name, work)[0] for name in ("one", "two")]
    return {"ends": [os.waitpid(pid, 0)[1] for pid in both]}


def main() -> None:
    """Do what each line asks for, as JSON: how, a database, models, and what else that takes; answer in a line."""
    keep._MOST_TOKENS = 100  # several batches and chunks, so that there is something between which to be killed
    tokens.ROWS_A_CHUNK = 1_000
    job.COMMIT_SECONDS = 0.0
    for line in sys.stdin:
        how, db, *rest = json.loads(line)
        answer = killed(Path(db), *rest) if how == "killed" else at_once(Path(db), *rest)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
