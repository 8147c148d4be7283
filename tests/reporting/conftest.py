"""A synthetic analysis database, written the way jobs write one."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pytest

from snql.db import Database
from snql.reporting.build import build
from snql.reporting.model import Report
from snql.reporting.options import ReportOptions
from snql.reporting.render import FORMATS

from .browser import Page, browser
from .capability import capability
from .shared import built_once, made_once
from .shared import neuron_frame as neuron_frame

STARTED = datetime(2026, 1, 2, 3, 4, 5)


class Builder:
    """Insert runs into a database through one writing transaction."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, seed: int = 0, n_runs: int = 0) -> None:
        self.connection = connection
        self.random = np.random.default_rng(seed)
        self._n_runs = n_runs
        known = connection.execute("SELECT dataset, text, prompt_id FROM prompts").fetchall()
        self._prompts: dict[tuple[str, str], int] = {(dataset, text): number for dataset, text, number in known}

    def run(self, name: str, kind: str, config: dict[str, object], status: str = "done") -> int:
        """Insert one row of ``runs`` and return its id."""
        self._n_runs += 1
        self.connection.execute(
            "INSERT INTO runs BY NAME SELECT ? AS run_id, ? AS name, ? AS kind, ? AS status, ? AS started_at,"
            " ? AS finished_at, ? AS config, 'sha' AS config_sha256, '0.1.0' AS snql_version, '{}' AS libraries,"
            " 'test' AS platform, 'cpu' AS device, 'float32' AS dtype, 0 AS seed",
            [self._n_runs, name, kind, status, STARTED, STARTED, json.dumps(config)],
        )
        return self._n_runs

    def prompts(self, run_id: int, dataset: str, texts: Sequence[str]) -> list[int]:
        """Insert the prompts of one data set of a run; return their ids."""
        ids = []
        for text in texts:
            known = (dataset, text)
            if known not in self._prompts:
                self._prompts[known] = len(self._prompts) + 1
                self.connection.execute(
                    "INSERT INTO prompts VALUES (?, ?, ?, ?, NULL, NULL)",
                    [self._prompts[known], dataset, text, f"sha{self._prompts[known]}"],
                )
            ids.append(self._prompts[known])
        start = self.connection.execute("SELECT count(*) FROM run_prompts WHERE run_id = ?", [run_id]).fetchall()
        for ordinal, prompt_id in enumerate(ids, start=start[0][0]):
            self.connection.execute(
                "INSERT INTO run_prompts VALUES (?, ?, ?, 'f', [1], NULL)", [run_id, prompt_id, ordinal]
            )
        return ids

    def locate(
        self,
        name: str,
        scores: np.ndarray,
        *,
        n_skipped: int = 1,
        config: dict[str, object] | None = None,
        prompts_of: str | None = None,
    ) -> pl.DataFrame:
        """Insert a locate run with ``scores`` (layers, neurons); ``n_skipped`` last layers are not ranked.

        Its prompts are its own, or those of the run ``prompts_of``.
        """
        run_id = self.run(
            name,
            "locate",
            {"before": "demo:sft", "after": "demo:safety", "prompts": "demo:train", "positions": "generating"}
            | {"limit": 2, "max_new_tokens": 32, "seed": 0, "completions_by": "before"}
            | (config or {}),
        )
        self.prompts(run_id, "train", [f"train {prompts_of or name} {number}" for number in range(2)])
        frame = neuron_frame(scores, n_skipped).with_columns(pl.lit(run_id, pl.Int32).alias("run_id"))
        self.connection.register("incoming", frame.to_arrow())
        self.connection.execute(
            "INSERT INTO neuron_statistics SELECT run_id, layer, NULL, neuron, score, rank, 0.5, -0.25, 1, 1,"
            " -0.75, 400 FROM incoming"
        )
        self.connection.unregister("incoming")
        return frame.with_columns(pl.lit(name).alias("run"))

    def variant(self, run_id: int, variant_id: int, role: str, name: str, **more: object) -> None:
        """Insert one variant; ``more`` holds neurons, n_neurons, fraction, control_of and control_seed."""
        columns = ("neurons", "n_neurons", "fraction", "control_of", "control_seed")
        self.connection.execute(
            "INSERT INTO variants VALUES (?, ?, ?, ?, ?, NULL, ?, ?, ?, ?, ?, NULL)",
            [
                run_id,
                variant_id,
                name,
                role,
                *(more.get(column) for column in columns),
                "matched" if "control_of" in more else None,
            ],
        )

    def effect(
        self,
        run_id: int,
        variant_id: int,
        effect: float | None,
        *,
        judge: str = "cost",
        dataset: str = "d",
        n: int = 20,
    ) -> None:
        """Insert one effect: recipient mean 2, donor mean -2, and the patched mean that the effect implies."""
        value = 0.0 if effect is None else effect
        low, high = (None, None) if effect is None else (effect - 0.1, effect + 0.1)
        change = (-4 * value, -4 * value - 0.4, -4 * value + 0.4)
        gap = (-4.5, -3.5) if effect is not None else (-0.5, 0.5)
        self.connection.execute(
            "INSERT INTO effects VALUES (?, ?, ?, ?, ?, 2, -2, ?, -4, ?, ?, ?, ?, ?, ?, ?, ?, 0.95, 2000, 7)",
            [run_id, variant_id, judge, dataset, n, 2 - 4 * value, *gap, *change, effect, low, high],
        )

    def completion(self, run_id: int, variant_id: int, prompt_id: int, text: str, score: float = 1.0) -> None:
        """Insert one completion and its score by the judge ``cost``."""
        self.connection.execute(
            "INSERT INTO completions VALUES (?, ?, ?, ?, [1, 2], 'stop', 0, NULL, NULL)",
            [run_id, variant_id, prompt_id, text],
        )
        self.connection.execute(
            "INSERT INTO judgements VALUES (?, ?, ?, 'cost', ?, 0, NULL, NULL)", [run_id, variant_id, prompt_id, score]
        )

    def patch(
        self,
        name: str,
        sweep: Sequence[tuple[float, float | None]] = ((0.01, 0.2), (0.05, 0.8), (0.1, 0.9)),
        *,
        source: str = "safety",
        datasets: Sequence[str] = ("d",),
        judges: Sequence[str] = ("cost",),
        texts: Sequence[str] = ("hello", "good morning"),
        n_all: int = 1000,
        n_controls: int = 3,
        config: dict[str, object] | None = None,
    ) -> int:
        """Insert a patch run: a sweep of (fraction, effect), with controls, on every data set and judge."""
        run_id = self.run(
            name,
            "patch",
            {
                "recipient": "demo:sft",
                "donor": "demo:safety",
                "neurons": [f"{source}:5%"],
                "random": n_controls,
            }
            | {"sweep": "1%,5%,10%", "prompts": list(datasets), "judges": list(judges), "seed": 0}
            | (config or {}),
        )
        variants = [(0, "recipient", "recipient"), (1, "donor", "donor")]
        for variant_id, role, variant_name in variants:
            self.variant(run_id, variant_id, role, variant_name)
        next_id = 2
        scopes = [*datasets, "*"] if len(datasets) > 1 else list(datasets)
        for fraction, effect in sweep:
            set_id, size = next_id, round(fraction * n_all)
            expression = f"{source}:{fraction * 100:g}%"
            sized: dict[str, object] = {"n_neurons": size, "fraction": fraction}
            self.variant(run_id, set_id, "patched", expression, neurons=expression, **sized)
            members = [(set_id, effect)]
            for seed in range(n_controls):
                next_id += 1
                control = f"random({expression}, seed={seed})"
                self.variant(
                    run_id,
                    next_id,
                    "patched",
                    control,
                    neurons=control,
                    control_of=set_id,
                    control_seed=seed,
                    **sized,
                )
                members.append((next_id, None if effect is None else 0.02 * seed + 0.1 * effect - 0.05))
            for variant_id, value in members:
                for judge in judges:
                    for scope in scopes:
                        self.effect(run_id, variant_id, value, judge=judge, dataset=scope)
            next_id += 1
        for dataset in datasets:
            for prompt_id in self.prompts(run_id, dataset, texts):
                for variant_id in range(next_id):
                    self.completion(run_id, variant_id, prompt_id, f"text {variant_id} {prompt_id}", variant_id)
        return run_id

    def sums(self, located: pl.DataFrame, n_prompts: int = 9) -> pl.DataFrame:
        """Give a locate run sums of ``n_prompts`` prompts, and intervals: as with --bootstrap; return the sums."""
        run_id = int(located["run_id"][0])
        prompts = self.prompts(run_id, "train", [f"sums {run_id} {number}" for number in range(n_prompts)])
        each = pl.DataFrame({"prompt_id": prompts})
        cells = located.select("run_id", "layer", "neuron", "score").join(each, how="cross")
        squared = cells["score"] ** 2 * 40 * self.random.lognormal(0, 0.5, cells.height)
        sums = cells.select("run_id", "layer", "neuron", "prompt_id").with_columns(
            n_tokens=pl.lit(40), squared_differences=squared.cast(pl.Float32)
        )
        self._insert("prompt_sums", sums)
        score, rank = pl.col("score"), pl.col("rank")
        ends = located.select(
            *("run_id", "layer", "neuron"),
            **{"ci_low": 0.9 * score, "ci_high": 1.2 * score, "standard_error": 0.1 * score},
            top_share=pl.when(rank <= 12).then(1 - rank / 100).when(rank > 12).then(0.1),
        )
        self._insert("score_intervals", ends)
        return sums

    def kept(self, located: pl.DataFrame, texts: Sequence[str], n_neurons: int = 5) -> pl.DataFrame:
        """Keep the activations of a run's first neurons over a text of these tokens; return the activations."""
        run_id = int(located["run_id"][0])
        (prompt,) = self.prompts(run_id, "train", [f"kept {run_id}"])
        tokens = [(run_id, index, prompt, index, 7, text) for index, text in enumerate(texts)]
        self.connection.executemany("INSERT INTO scored_tokens VALUES (?, ?, ?, ?, ?, ?)", tokens)
        places = located.filter(pl.col("rank") <= n_neurons).select("run_id", "layer", "neuron")
        rows = places.join(pl.DataFrame({"token_index": range(len(texts))}), how="cross").with_columns(
            before=pl.Series(self.random.normal(0, 1, places.height * len(texts)), dtype=pl.Float32),
            after=pl.Series(self.random.normal(0, 2, places.height * len(texts)), dtype=pl.Float32),
        )
        self._insert("activation_rows", rows)
        self._insert("neuron_set_members", places.select("layer", "neuron", set_id=pl.lit(run_id)))
        self.connection.execute("UPDATE runs SET kept_set_id = run_id, store = 'rows' WHERE run_id = ?", [run_id])
        return rows

    def _insert(self, table: str, rows: pl.DataFrame) -> None:
        self.connection.register("incoming", rows.to_arrow())
        self.connection.execute(f"INSERT INTO {table} BY NAME SELECT * FROM incoming")
        self.connection.unregister("incoming")

    def second_judge(self, run_id: int, judge: str = "other") -> None:
        """Let another judge score what ``cost`` did: mostly the same, some completions the other way."""
        self.connection.execute(
            "INSERT INTO judgements SELECT run_id, variant_id, prompt_id, ?,"
            " score * (variant_id % 5 - 1.5) + prompt_id, sample, NULL, NULL FROM judgements"
            " WHERE run_id = ? AND judge = 'cost'",
            [judge, run_id],
        )

    def control_test(self, run_id: int, variant_id: int, judge: str = "cost") -> None:
        """Insert a test of a set against its matched controls: 1.5 lower than they, p 0.02 and 0.01."""
        self.connection.execute(
            "INSERT INTO control_effects BY NAME SELECT ? AS run_id, ? AS variant_id, ? AS judge, 'd' AS dataset,"
            " 'matched' AS control_kind, 1 AS n_controls, 20 AS n_prompts, 1.5 AS mean_controls, -1.5 AS difference,"
            " -2 AS difference_ci_low, -1 AS difference_ci_high, 3 AS t, 0.01 AS t_p_value,"
            " 0.02 AS permutation_p_value, 10000 AS permutations, 0.95 AS confidence, 2000 AS resamples, 7 AS seed",
            [run_id, variant_id, judge],
        )

    def graded(self, run_id: int) -> None:
        """Graded effects for a run's effects by ``cost``: half of these."""
        self.connection.execute(
            "INSERT INTO margin_effects BY NAME SELECT run_id, variant_id, dataset, 18 AS n_prompts, 2 AS n_same,"
            " -2.0 AS mean_recipient, 2.0 AS mean_donor, 0.0 AS mean_patched, 4.0 AS gap, 2.0 AS change,"
            " effect / 2 AS effect, effect / 2 - 0.1 AS ci_low, effect / 2 + 0.1 AS ci_high, 9 AS n_crossed,"
            " 0.95 AS confidence FROM effects WHERE run_id = ? AND judge = 'cost'",
            [run_id],
        )

    def sets(
        self,
        name: str,
        effects: Mapping[str, float | None],
        *,
        n_neurons: Callable[[str], int] = lambda _: 50,
        scores: Mapping[str, Sequence[float]] | None = None,
        steps: Mapping[str, tuple[Sequence[int], Sequence[int], Sequence[int]]] | None = None,
        config: dict[str, object] | None = None,
    ) -> int:
        """Insert a patch run of any sets with their effects, and one control of effect 0.05 for each.

        ``scores`` has the costs of recipient, donor and sets, prompt by prompt; ``steps`` the tokens that a set wrote,
        and those that the unpatched model and the donor would have written.
        """
        base: dict[str, object] = {
            "recipient": "demo:sft",
            "donor": "demo:safety",
            "prompts": ["d"],
            "judges": ["cost"],
        }
        run_id = self.run(name, "patch", base | {"neurons": list(effects), "seed": 0} | (config or {}))
        variants: dict[str, int] = {"recipient": 0, "donor": 1}
        for role, variant_id in variants.items():
            self.variant(run_id, variant_id, role, role)
        for variant_id, (expression, effect) in zip(range(2, 2 + 2 * len(effects), 2), effects.items(), strict=True):
            sized: dict[str, object] = {"n_neurons": n_neurons(expression), "fraction": n_neurons(expression) / 1200}
            self.variant(run_id, variant_id, "patched", expression, neurons=expression, **sized)
            control = f"random({expression}, seed=1)"
            more: dict[str, object] = {"control_of": variant_id, "control_seed": 1} | sized
            self.variant(run_id, variant_id + 1, "patched", control, neurons=control, **more)
            self.effect(run_id, variant_id, effect)
            self.effect(run_id, variant_id + 1, None if effect is None else 0.05)
            variants[expression] = variant_id
        written = scores or dict.fromkeys(variants, (1.0, -1.0))
        ids = self.prompts(run_id, "d", [f"{name} {n}" for n in range(len(written["recipient"]))])
        for who, costs in written.items():
            for prompt_id, cost in zip(ids, costs, strict=True):
                self.completion(run_id, variants[who], prompt_id, f"{who} {prompt_id}", cost)
        for who, (tokens, unpatched, donor) in (steps or {}).items():
            self.connection.execute(
                "UPDATE completions SET token_ids = ?, unpatched_ids = ?, donor_ids = ? WHERE run_id = ?"
                " AND variant_id = ?",
                [list(tokens), list(unpatched), list(donor), run_id, variants[who]],
            )
        return run_id


@made_once
def small(path: Path, seed: int = 0) -> Database:
    """A database with three locate runs, two patch runs, a guard with its test, a perplexity and an lm-eval run."""
    from .guards import add_guard

    database = Database(path)
    random = np.random.default_rng(seed)
    shared = random.lognormal(-2, 1, (6, 200))
    with database.write() as connection:
        builder = Builder(connection)
        located = builder.locate("safety", shared)
        builder.sums(located)
        builder.kept(located, [" To", "day", "\n", " I", " will"] * 5)
        builder.locate("helpful", shared * random.lognormal(0, 0.5, (6, 200)))
        builder.locate("other", random.lognormal(-2, 1, (6, 200)))
        swept = builder.patch("sweep")
        builder.control_test(swept, 6)
        builder.graded(swept)
        add_guard(builder, "watch")
        builder.patch("wide", datasets=("beavertails", "redteam", "harmbench"), judges=("reward", "cost"))
        capability(builder, "fluent", ("essays", "wiki"))
    return database


@made_once
def example(path: Path, seed: int = 0) -> Database:
    """The small database and more runs: every figure has something to show."""
    database = small.__wrapped__(path, seed)
    flat = np.ones((6, 200))
    with database.write() as connection:
        builder = Builder(connection, n_runs=9)
        builder.locate("writer", flat, config={"completions_by": "after"}, prompts_of="other")
        builder.locate("places", flat, config={"positions": "prompt"}, prompts_of="other")
        tops = [f"{run}:{size}%" for run in ("safety", "other", "writer", "places") for size in (5, 10)]
        steps = {"safety:5%": ([1, 2, 3], [1, 9, 3], [8, 2, 3])}
        tops_id = builder.sets("tops", dict.fromkeys(tops, 0.5), n_neurons=lambda text: 5 * len(text), steps=steps)
        builder.second_judge(tops_id)
        builder.sets("xweights", dict.fromkeys(tops, 0.2), config={"mode": "donor-weights"})
        builder.sets("windows", {"safety:0%..5%": 0.6, "safety:5%..10%": 0.1, "safety:10%..15%": None})
    return database


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """The example database; reports never change it, so the session shares one."""
    with example(tmp_path_factory.mktemp("db") / "snql.duckdb") as database:
        yield database


@pytest.fixture(scope="session")
def whole(database: Database, tmp_path_factory: pytest.TempPathFactory) -> Report:
    """The report on the example database in all formats but PNG, which take longest; tests only read it."""
    formats = tuple(each for each in FORMATS if each != "png")
    return built_once(
        tmp_path_factory, "whole", lambda folder: build(database, folder / "out", ReportOptions(formats=formats))
    )


@pytest.fixture(scope="session")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """A report whose every text is hostile, in the formats that hold text."""
    from .hostile import hostile_report

    formats = ("svg", "html", "json", "pdf")
    return built_once(tmp_path_factory, "hostile", lambda folder: hostile_report(folder, formats))


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A browser; tests that ask for it are marked ``needs_browser``."""
    with browser(tmp_path_factory.mktemp("profile")) as page:
        yield page
