"""Answers and scores that another run has stored already, for a guard of the model that wrote them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from snql.db import scripts
from snql.db.connection import Database
from snql.db.guards import scores
from snql.db.prompts import prompts_of
from snql.db.runs import read_notes
from snql.errors import InputError
from snql.jobs.begin import Readers
from snql.judges.base import WORSE
from snql.options import build, leaves
from snql.prompts.dates import noted_day
from snql.prompts.options import ROLES, PromptOptions
from snql.prompts.read import locate_source
from snql.prompts.template import Formatter
from snql.prompts.types import Prompt

_ROLES = ("recipient", "before")


@dataclass(frozen=True)
class Earlier:
    """A run that wrote with the model, and what a judge said of it. scores: by prompt_id, None where there is none."""

    run: str
    kind: str
    config: dict[str, Any]
    config_sha256: str
    role: str
    model_id: str
    prompts: list[Prompt]
    benign: frozenset[str]
    judge: str
    higher_is: str
    scores: dict[int, float | None]
    day: date | None = None

    def formatter(self, readers: Readers) -> Formatter:
        """How the run put prompts to its models; ``day`` is what its templates took for today, if they asked."""
        names = {leaf.name for leaf in leaves(PromptOptions)} - {"prompts", "limit", "sample", "where"}
        given = {name: value for name, value in self.config.items() if name in names and value is not None}
        options = build(PromptOptions, given)
        if self.day is not None:
            options = replace(options, template_date=self.day.isoformat())
        specs = {role: self.config[role] for role in ROLES if self.config.get(role)} or dict(readers.specs)
        return replace(readers, specs=specs).formatter(options)


def find_earlier(db: Database, run: str, sets: Sequence[str], benign: Sequence[str], judge: str | None) -> Earlier:
    """The answers of a finished run's unpatched model: the recipient of a patch run, or the writer ``before``.

    sets: its prompt sets to use, none for all; benign: some of them. judge: None if only one has
    judged. Raises InputError if there is no such run, set or judge, or if its answers were drawn at random.
    """
    run_id, kind, config, sha256 = _find(db, run)
    variant_id, role, model_id = _writer(db, run, run_id, kind)
    if config.get("temperature"):
        raise InputError(f"{kind} run {run!r} drew its answers at random: a guard is trained on greedy ones")
    name, higher_is = _judge(db, run, run_id, variant_id, judge)
    prompts = prompts_of(db, run_id)
    has = list(dict.fromkeys(prompt.dataset for prompt in prompts))
    chosen = [locate_source(each)[1] if each not in has else each for each in sets] or has
    marked = frozenset(each if each in has else locate_source(each)[1] for each in benign)
    for wanted in (*chosen, *marked):
        if wanted not in has:
            raise InputError(f"{kind} run {run!r} has no prompts of {wanted}: its prompt sets are {', '.join(has)}")
    kept = [prompt for prompt in prompts if prompt.dataset in chosen]
    return Earlier(
        run=run,
        kind=kind,
        config=config,
        config_sha256=sha256,
        role=role,
        model_id=model_id,
        prompts=kept,
        benign=marked,
        judge=name,
        higher_is=higher_is,
        scores=scores(db, run_id, variant_id, name),
        day=noted_day(read_notes(db, run_id)),
    )


def _find(db: Database, run: str) -> tuple[int, str, dict[str, Any], str]:
    found = db.rows(
        """
        SELECT run_id, kind, status, config, config_sha256 FROM runs
        WHERE name = ? AND kind IN ('patch', 'locate', 'guard', 'guard-test') ORDER BY kind = 'patch' DESC, kind LIMIT 1
        """,
        [run],
    )
    if not found:
        raise InputError(f"`from_run` {run}: no run with answers of that name in {db.path}; `snql runs` lists its runs")
    run_id, kind, status, config, sha256 = found[0]
    if status != "done":
        raise InputError(f"`from_run` {run}: the {kind} run is {status}; finish it first, with `resume`")
    return run_id, kind, json.loads(config), sha256


def _writer(db: Database, run: str, run_id: int, kind: str) -> tuple[int, str, str]:
    found = db.rows(scripts.query("unpatched_writers"), {"run_id": run_id, "roles": list(_ROLES)})
    if not found:
        raise InputError(f"`from_run` {run}: the {kind} run has no answers of an unpatched recipient or model before")
    variant_id, role, model_id = found[0]
    return variant_id, role, model_id


def _judge(db: Database, run: str, run_id: int, variant_id: int, judge: str | None) -> tuple[str, str]:
    query = """
        SELECT DISTINCT judge, coalesce(settings ->> '$.higher_is', ?) FROM judgements JOIN judges USING (judge)
        WHERE run_id = ? AND variant_id = ? ORDER BY judge
        """
    known = dict(db.rows(query, [WORSE, run_id, variant_id]))
    if judge is None and len(known) == 1:
        return next(iter(known.items()))
    if judge not in known:
        judged = (
            f"judged it: {', '.join(known)}; name one with `judge`" if known else "judged it: use `snql judge` first"
        )
        raise InputError(f"`from_run` {run}: {'these' if known else 'nobody'} {judged}")
    return str(judge), known[str(judge)]
