"""One run in a few lines: what was found, what it was made of, and the command that repeats it."""

import json
import shlex
from collections.abc import Callable
from dataclasses import dataclass

from snql.db import runs
from snql.db.capability import is_own
from snql.db.connection import Database
from snql.db.run_list import find
from snql.guard.results import compared_sentences, sentences
from snql.patching.findings import found_by
from snql.reporting.reproduce import command
from snql.writing.words import count, listing, number

_TOP = 5


@dataclass(frozen=True)
class Shown:
    """About one run. settings: options that differ from their defaults, with their values; counted: rows of results."""

    head: str
    found: tuple[str, ...]
    settings: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    command: str


def show_run(db: Database, name: str, kind: str | None = None) -> Shown:
    """What to know of a run first. Raises InputError if there is no such run, or several and no kind is named."""
    run_id, kind = find(db, name, kind)
    ((status, error, started, seconds, device, config),) = db.rows(
        """
        SELECT status, error, strftime(started_at, '%Y-%m-%d %H:%M:%S'), epoch(finished_at) - epoch(started_at),
            device, config::VARCHAR
        FROM runs WHERE run_id = ?
        """,
        [run_id],
    )
    took = "" if seconds is None else f" in {number(seconds)} s"
    where = f" on {device}" if device else ""
    head = f"{kind} run {name}: {status}{took}{where}, begun {started}" + (f"; {error}" if error else "")
    line = command(kind, name, config)
    found = findings_of(db, run_id, kind) if status == "done" else []
    return Shown(head, tuple(found), _settings(line, config), tuple(runs.read_notes(db, run_id)), line)


def findings_of(db: Database, run_id: int, kind: str) -> list[str]:
    """What a finished run found; nothing for a kind whose results are no sentence."""
    say = _FOUND.get(kind)
    return [] if say is None else say(db, run_id)


def _settings(line: str, config: str) -> tuple[tuple[str, str], ...]:
    """The options of a command line with their values; what is given several times has them with commas between."""
    found: dict[str, list[str]] = {}
    flag = ""
    for word in shlex.split(line):
        if word.startswith("--"):
            flag = word[2:]
            found.setdefault(flag, [])
        elif flag:
            found[flag].append(word)
    stored = json.loads(config) if config.startswith("{") else {}
    if stored.get("seed") is not None:
        found.setdefault("seed", [str(stored["seed"])])
    if stored.get("imported"):
        found = {"file": [stored["file"]], "read": [stored["imported"]]} | found
    return tuple((name, ", ".join(values) or "yes") for name, values in found.items())


def _located(db: Database, run_id: int) -> list[str]:
    ((prompts, tokens, ranked, scorer, imported, file),) = db.rows(
        """
        SELECT n_prompts, n_tokens, n_ranked, scorer, config ->> '$.imported', config ->> '$.file'
        FROM locate_runs JOIN runs USING (run_id) WHERE run_id = ?
        """,
        [run_id],
    )
    over = f" by {scorer}, over {count(tokens or 0, 'token')} of {count(prompts, 'prompt')}"
    if imported is not None:
        over = f", imported from {file} ({imported}): prompts and tokens unknown"
    top = db.rows(
        """
        SELECT neuron_name(layer, expert, neuron), score FROM neuron_scores
        WHERE run_id = ? AND rank <= ? ORDER BY rank
        """,
        [run_id, _TOP],
    )
    names = listing([f"{name} ({number(score)})" for name, score in top], _TOP)
    return [
        f"{ranked:,} neurons ranked{over}.",
        f"Highest: {names}.",
    ]


def _patched(db: Database, run_id: int) -> list[str]:
    query = "SELECT * FROM causal_effects WHERE run_id = ? ORDER BY judge, variant_id"
    return found_by(db, db.frame(query, [run_id]))


def _closed(db: Database, run_id: int) -> list[str]:
    rows = db.rows(
        """
        SELECT DISTINCT variant, dataset, closed, closed_ci_low, closed_ci_high,
            kl_patched, kl_patched_ci_low, kl_patched_ci_high
        FROM screened_effects WHERE run_id = ? AND control_of IS NULL ORDER BY ALL
        """,
        [run_id],
    )
    if is_own(db, run_id):
        return [
            f"{variant} is {number(kl)}{_ends(low, high)} nats a token from the unpatched model on {dataset}."
            for variant, dataset, *_, kl, low, high in rows
        ]
    return [
        f"{variant} closes {number(closed)}{_ends(low, high)} of the divergence from the donor on {dataset}."
        for variant, dataset, closed, low, high, *_ in rows
        if closed is not None
    ]


def _fluent(db: Database, run_id: int) -> list[str]:
    rows = db.rows(
        """
        SELECT variant, dataset, perplexity, ratio, ratio_ci_low, ratio_ci_high FROM perplexities
        WHERE run_id = ? AND control_of IS NULL AND variant <> 'recipient' ORDER BY ALL
        """,
        [run_id],
    )
    return [
        f"{variant}: perplexity {number(value)} on {dataset}, {number(ratio)}{_ends(low, high)} times the recipient's."
        for variant, dataset, value, ratio, low, high in rows
        if ratio is not None
    ]


def _guarded(db: Database, run_id: int) -> list[str]:
    scores = db.frame("SELECT * EXCLUDE (run_id) FROM guard_scores WHERE run_id = ?", [run_id])
    neurons = db.rows("SELECT config ->> '$.neurons' FROM runs WHERE run_id = ?", [run_id])[0][0]
    return [] if scores.is_empty() else sentences(scores, neurons or scores["neurons"][0])


def _compared(db: Database, run_id: int) -> list[str]:
    return compared_sentences(db.frame("SELECT * FROM guard_comparison WHERE run_id = ?", [run_id]))


def _ends(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f" [{number(low)}, {number(high)}]"


_FOUND: dict[str, Callable[[Database, int], list[str]]] = {
    "locate": _located,
    "patch": _patched,
    "divergence": _closed,
    "perplexity": _fluent,
    "guard": _guarded,
    "guard-test": _guarded,
    "guard-compare": _compared,
}
"""What a finished run of a kind found, in sentences."""
