"""The completions of the page: for each patch run what recipient, patched sets and donor wrote, prompt by prompt."""

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from snql.db import Database, scripts
from snql.reporting.sources import Sources, figures, rows
from snql.writing.inert import visible
from snql.writing.words import count

MAX_COMPLETIONS = 5_000
MAX_BYTES = 6_500_000
"""Of all texts as JSON, prompts included."""
MAX_LENGTH = 6_000
"""Of one text, as JSON."""
CUT = " […cut]"

JUDGES = "SELECT judge FROM figure_judges WHERE run_id = $run_id ORDER BY position"

ALL = "SELECT variant, prompt, text FROM run_completions WHERE run = $run"


@dataclass(frozen=True)
class Variant:
    """Who wrote: role recipient, donor or patched. texts: one a prompt, None where nothing was written; scores: for
    each judge of the run one a prompt, None where it was not judged."""

    role: str
    name: str
    texts: tuple[str | None, ...]
    scores: tuple[tuple[float | None, ...], ...]


@dataclass(frozen=True)
class Compared:
    """The answers to one prompt: who wrote, the text or None, and its score by the run's first judge."""

    dataset: str
    prompt: str
    answers: tuple[tuple[Variant, str | None, float | None], ...]


@dataclass(frozen=True)
class WrittenRun:
    """One patch run. prompts: (data set, text); variants: the recipient, patched sets, and the donor if it wrote."""

    run: str
    judges: tuple[str, ...]
    prompts: tuple[tuple[str, str], ...]
    variants: tuple[Variant, ...]

    def of(self, role: str) -> tuple[Variant, ...]:
        """The variants with that role."""
        return tuple(variant for variant in self.variants if variant.role == role)

    def columns(self, patched: Variant | None = None) -> tuple[Variant, ...]:
        """Who stands side by side: the recipient, one patched set (by default the first) and the donor."""
        chosen = self.of("patched")[:1] if patched is None else (patched,)
        return (*self.of("recipient"), *chosen, *self.of("donor"))

    def compared(self, place: int, columns: Sequence[Variant]) -> Compared:
        """The answers of these to one prompt."""
        scores = [variant.scores[0][place] if variant.scores else None for variant in columns]
        texts = [variant.texts[place] for variant in columns]
        return Compared(*self.prompts[place], tuple(zip(columns, texts, scores, strict=True)))


@dataclass(frozen=True)
class Writings:
    """The completions for the page. left_out: what is not here and how to see it, as a sentence; empty if all is."""

    runs: tuple[WrittenRun, ...]
    n_completions: int
    left_out: str

    def data(self) -> dict[str, Any]:
        """For the page's script: texts once each, and runs that name them by their place."""
        texts: dict[str, int] = {}

        def place(text: str | None) -> int | None:
            return None if text is None else texts.setdefault(text, len(texts))

        runs = [
            {
                "run": visible(run.run),
                "judges": [visible(judge) for judge in run.judges],
                "datasets": [visible(dataset) for dataset, _ in run.prompts],
                "prompts": [place(text) for _, text in run.prompts],
                "variants": [
                    {
                        "role": variant.role,
                        "name": visible(variant.name),
                        "texts": [place(text) for text in variant.texts],
                        "scores": [figures(pl.Series(scores, dtype=pl.Float64)) for scores in variant.scores],
                    }
                    for variant in run.variants
                ],
            }
            for run in self.runs
        ]
        return {"texts": list(texts), "runs": runs}


def read(source: Sources) -> Writings | None:
    """What the patch runs wrote, as much as fits; None if nothing was written."""
    room = MAX_COMPLETIONS // len(source.databases)
    found = [(db, end, source.kept(rows(db, scripts.query("written_variants")))) for db, end in source.labelled()]
    pairs = [each for each in found if not each[2].is_empty()]
    if not pairs:
        return None
    cut = _fitting([run for db, end, found in pairs for run in _of_database(db, end, found, room)])
    n_shown = sum(text is not None for run in cut for variant in run.variants for text in variant.texts)
    n_cut = sum(text.endswith(CUT) for run in cut for text in _texts(run))
    return Writings(tuple(cut), n_shown, _left_out(pl.concat(found for *_, found in pairs), n_shown, n_cut))


def _of_database(db: Database, end: str, found: pl.DataFrame, room: int) -> list[WrittenRun]:
    """The runs of one database, ``room`` completions at most. end: what names of runs get added."""
    wanted = found.filter(~pl.col("control")).with_columns(pl.col("run") + end)
    sizes = {int(str(key[0])): group for key, group in wanted.group_by("run_id", maintain_order=True)}
    return [_run(db, run_id, sizes[run_id], share) for run_id, share in _shares(sizes, room).items()]


def _shares(sizes: Mapping[int, pl.DataFrame], room: int) -> dict[int, int]:
    """How many completions of each run are shown: what small runs leave over goes to larger ones."""
    totals = {run_id: int(group["n_prompts"].sum()) for run_id, group in sizes.items()}
    shares = dict.fromkeys(totals, 0)
    for done, run_id in enumerate(sorted(totals, key=lambda run_id: (totals[run_id], run_id))):
        shares[run_id] = min(totals[run_id], room // (len(totals) - done))
        room -= shares[run_id]
    return shares


def _run(db: Database, run_id: int, variants: pl.DataFrame, share: int) -> WrittenRun:
    """The run's first prompts under recipient, donor and at least one set; then as many more sets as fit."""
    unpatched = variants.filter(pl.col("role") != "patched")
    sets = variants.filter(pl.col("role") == "patched")
    n_wrote = unpatched.height + min(1, sets.height)
    n_prompts = min(int(str(variants["n_prompts"].max())), share // n_wrote)
    n_sets = max(min(1, sets.height), share // max(1, n_prompts) - unpatched.height)
    chosen = pl.concat([unpatched, sets.head(n_sets)]).sort("variant_id")
    prompts = rows(db, scripts.query("first_prompts"), run_id=run_id, most=n_prompts)
    places = {prompt_id: place for place, prompt_id in enumerate(prompts["prompt_id"])}
    limits = {"run_id": run_id, "variants": chosen["variant_id"].to_list(), "prompts": list(places)}
    judges = rows(db, JUDGES, run_id=run_id)["judge"].to_list()
    texts, scores = (rows(db, scripts.query(name), **limits) for name in ("first_completions", "first_scores"))
    order = sorted(chosen.iter_rows(named=True), key=lambda row: (_ROLES[row["role"]], not row["headline"]))
    made = [_variant(row, places, judges, texts, scores) for row in order]
    pairs = [(dataset, visible(text, keep="\n")) for _, dataset, text in prompts.iter_rows()]
    return WrittenRun(str(variants["run"][0]), tuple(judges), tuple(pairs), tuple(made))


_ROLES = {"recipient": 0, "patched": 1, "donor": 2}


def _variant(
    row: dict[str, Any], places: Mapping[int, int], judges: Sequence[str], texts: pl.DataFrame, scores: pl.DataFrame
) -> Variant:
    wrote: list[str | None] = [None] * len(places)
    for prompt_id, text in texts.filter(pl.col("variant_id") == row["variant_id"])["prompt_id", "text"].iter_rows():
        wrote[places[prompt_id]] = visible(text, keep="\n")
    judged: dict[str, list[float | None]] = {judge: [None] * len(places) for judge in judges}
    own = scores.filter(pl.col("variant_id") == row["variant_id"]).select("prompt_id", "judge", "score")
    for prompt_id, judge, score in own.iter_rows():
        judged[judge][places[prompt_id]] = score
    return Variant(row["role"], row["name"], tuple(wrote), tuple(tuple(judged[judge]) for judge in judges))


def _texts(run: WrittenRun) -> list[str]:
    wrote = [text for variant in run.variants for text in variant.texts if text is not None]
    return [text for _, text in run.prompts] + wrote


def _fitting(runs: Sequence[WrittenRun]) -> list[WrittenRun]:
    """The runs with long texts cut, so that all of them fit."""
    lengths = [_length(text) for text in {text for run in runs for text in _texts(run)}]
    longest = MAX_LENGTH
    while sum(min(length, longest) for length in lengths) > MAX_BYTES:
        longest = longest * 3 // 4
    return [_shortened(run, longest) for run in runs]


def _shortened(run: WrittenRun, longest: int) -> WrittenRun:
    prompts = tuple((dataset, _cut(text, longest)) for dataset, text in run.prompts)
    variants = tuple(
        Variant(
            variant.role,
            variant.name,
            tuple(None if text is None else _cut(text, longest) for text in variant.texts),
            variant.scores,
        )
        for variant in run.variants
    )
    return WrittenRun(run.run, run.judges, prompts, variants)


def _cut(text: str, longest: int) -> str:
    """At most ``longest`` bytes of JSON; a cut text says so."""
    if _length(text) <= longest:
        return text
    keep = min(len(text), longest)
    while _length(text[:keep]) > longest - len(CUT):
        keep = keep * 7 // 8
    return text[:keep] + CUT


def _length(text: str) -> int:
    return len(json.dumps(text))


def _left_out(found: pl.DataFrame, n_shown: int, n_cut: int) -> str:
    n_left = int(found["n"].sum()) - n_shown
    n_controls = int(found.filter(pl.col("control"))["n"].sum())
    words = []
    if n_left:
        of_controls = f", {n_controls:,} of them of random controls" if n_controls else ""
        words.append(f"{count(n_left, 'completion')} {'is' if n_left == 1 else 'are'} left out{of_controls}")
    if n_cut:
        words.append(f"{count(n_cut, 'long text')} {'ends' if n_cut == 1 else 'end'} with{CUT}")
    if not words:
        return ""
    query = shlex.join(["snql", "query", ALL, "-p", f"run={visible(found['run'][0])}"])
    return f"{'; '.join(words)}. All of a run: {query}"
