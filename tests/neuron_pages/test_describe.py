"""One neuron: every number against plain Python over what was put into the tables."""

import math

import numpy as np
import polars as pl
import pytest

from snql.db import runs
from snql.db.connection import Database
from snql.db.records import Variant, write_variants
from snql.db.records import save_set as save_members
from snql.db.shards import folder_of
from snql.errors import DatabaseError, InputError
from snql.neuron_pages import describe_neuron, describe_neurons
from snql.neuron_pages.contexts import end_of, head_of
from snql.neuron_pages.model import Examples, NeuronPage, TokenView
from snql.neuron_pages.statistics import binned
from snql.neurons.sets import NeuronSet, Shape
from snql.rankings.saved_sets import save_set

from .conftest import DENSE, KEPT, KEPT_MIXED, Filled
from .made import HEAD, N_PROMPT, Coordinates, Made, add_run, add_tokens

pytestmark = pytest.mark.usefixtures("lingering")

MEASURES = ("before", "after", "change")


def _tokens(page: NeuronPage) -> TokenView:
    (view,) = page.runs
    assert view.tokens is not None
    return view.tokens


def _measured(made: Made, place: Coordinates, measure: str) -> np.ndarray:
    before, after = made.values[place]
    values: dict[str, np.ndarray] = {"before": before, "after": after, "change": after - before}
    return values[measure]


def test_statistics_in_every_run(dense: Filled) -> None:
    page = describe_neuron(dense.db, "L1.N0")
    for made, n_ranked in ((dense.kept, 40), (dense.bare, 60)):
        row = page.scores.row(by_predicate=pl.col("run") == made.name, named=True)
        own = made.scores[1, 0]
        ranked = made.scores[: n_ranked // 20].ravel()
        rank = 1 + int((ranked > own).sum())
        assert (row["rank"], row["n_ranked"]) == (rank, n_ranked)
        assert row["top_percent"] == pytest.approx(100 * rank / n_ranked)
        assert (row["rank_in_layer"], row["n_in_layer"]) == (1 + int((made.scores[1] > own).sum()), 20)
        stored = made.row((1, None, 0))
        for name in ("score", "mean_before", "mean_after", "mean_difference", "std_before", "std_after", "n_tokens"):
            assert row[name] == stored[name]
        assert (row["model_before"], row["model_after"]) == (f"{made.name}-sft", f"{made.name}-dpo")
    assert dict(page.scores.select("run", "kept").iter_rows()) == {"kept": True, "bare": False}


def test_a_layer_that_is_not_ranked_has_scores_without_a_rank(dense: Filled) -> None:
    row = describe_neuron(dense.db, "2:19").scores.row(by_predicate=pl.col("run") == "kept", named=True)
    assert row["rank"] is None and row["top_percent"] is None
    assert row["score"] == dense.kept.scores[2, 19]
    assert row["rank_in_layer"] == 1 + int((dense.kept.scores[2] > dense.kept.scores[2, 19]).sum())


def test_intervals_where_there_are_any(dense: Filled) -> None:
    with dense.db.write() as connection:
        connection.execute(
            "INSERT INTO score_intervals VALUES (?, 1, NULL, 0, 0.5, 0.75, 0.1, 0.2), (?, 1, NULL, 1, 7, 8, 9, 1)",
            [dense.bare.run_id, dense.bare.run_id],
        )
    scores = describe_neuron(dense.db, "L1.N0").scores
    found = {
        row["run"]: [row[k] for k in ("ci_low", "ci_high", "standard_error", "top_share")] for row in scores.to_dicts()
    }
    assert found == {"bare": [0.5, 0.75, 0.1, 0.2], "kept": [None] * 4}


def test_the_layers_scores_in_bins() -> None:
    scores = np.random.default_rng(0).lognormal(0, 1, 500)
    bins = binned(np.append(scores, [0.0, 0.0]), float(scores[7]))
    expected, edges = np.histogram(np.log10(scores), bins=40)
    assert bins.log and bins.n_outside == 2
    assert list(bins.counts) == expected.tolist()
    assert np.log10(bins.edges) == pytest.approx(edges)
    own = bins.own_bin
    assert own is not None and bins.edges[own] <= scores[7] <= bins.edges[own + 1]


def test_bins_of_scores_without_a_logarithm() -> None:
    bins = binned(np.array([-1.0, 0.0, 3.0]), 3.0)
    assert (bins.log, bins.edges[0], bins.edges[-1], sum(bins.counts), bins.own_bin) == (False, -1, 3, 3, 39)
    equal = binned(np.array([2.0, 2.0]), 2.0)
    assert (equal.counts, equal.own_bin) == ((2,), 0)
    assert binned(np.array([0.0, 0.0]), 0.0).counts == (2,)
    assert binned(np.array([0.0, 1.0, 2.0]), 0.0).own_bin is None


@pytest.mark.parametrize("place", KEPT)
def test_histogram_of_activations(dense: Filled, place: Coordinates) -> None:
    view = _tokens(describe_neuron(dense.db, f"L{place[0]}.N{place[2]}"))
    before, after = dense.kept.values[place]
    low, high = min(before.min(), after.min()), max(before.max(), after.max())
    assert (view.histogram.low, view.histogram.high) == (low, high)
    for values, counts in ((before, view.histogram.before), (after, view.histogram.after)):
        expected = [0] * 40
        for value in values:
            expected[min(math.floor((value - low) / ((high - low) / 40)), 39)] += 1
        assert list(counts) == expected
    assert view.n_tokens == len(before)
    assert view.max_activation == max(abs(before).max(), abs(after).max())
    assert view.max_change == abs(after - before).max()


def _expected(made: Made, place: Coordinates, measure: str, lowest: bool) -> list[tuple[int, int, float]]:
    """(prompt_id, position, value): of each prompt the first of its largest, the largest first."""
    best: dict[int, tuple[float, int, int]] = {}
    for (prompt, position, _, _), value in zip(made.tokens, _measured(made, place, measure), strict=True):
        if not math.isnan(value) and (value < 0 if lowest else value > 0):
            best[prompt] = min(best.get(prompt, (1.0, 0, 0)), (-abs(value), prompt, position))
    return [
        (prompt, position, -size if lowest else size)
        for size, prompt, position in ((-minus, prompt, position) for minus, prompt, position in sorted(best.values()))
    ]


def _found(each: Examples) -> list[tuple[int, int, float | None]]:
    return [(one.prompt_id, one.token.position, one.token.value(each.measure)) for one in each.examples]


def _check_lists(made: Made, place: Coordinates, view: TokenView, most: int) -> None:
    assert {(each.measure, each.lowest) for each in view.lists} == {(m, low) for m in MEASURES for low in (False, True)}
    for each in view.lists:
        assert _found(each) == _expected(made, place, each.measure, each.lowest)[:most]


@pytest.mark.parametrize("most", [2, 50])
def test_top_tokens(dense: Filled, most: int) -> None:
    for place in KEPT:
        view = _tokens(describe_neuron(dense.db, f"L{place[0]}.N{place[2]}", examples=most))
        _check_lists(dense.kept, place, view, most)


def test_top_tokens_of_an_expert(mixed: Filled) -> None:
    for place in KEPT_MIXED:
        page = describe_neuron(mixed.db, f"L{place[0]}.E{place[1]}.N{place[2]}", examples=4)
        assert page.name == f"L{place[0]}.E{place[1]}.N{place[2]}"
        _check_lists(mixed.kept, place, _tokens(page), 4)
        row = page.scores.row(by_predicate=pl.col("run") == "kept", named=True)
        assert row["score"] == mixed.kept.scores[place[0], (place[1] or 0) * 6 + place[2]]
        unread = [token for each in _tokens(page).lists for one in each.examples for token in one.tokens]
        assert any(token.value("after") is None for token in unread)


def test_context_is_the_text_around_the_token(dense: Filled) -> None:
    view = _tokens(describe_neuron(dense.db, "L0.N3", context=3))
    before, after = dense.kept.values[(0, None, 3)]
    stored = {
        (prompt, at): (text, b, a) for (prompt, at, _, text), b, a in zip(dense.kept.tokens, before, after, strict=True)
    }
    last = {prompt: at for prompt, at, _, _ in dense.kept.tokens}
    for one in (one for each in view.lists for one in each.examples):
        at = one.token.position
        window = [p for p in range(at - 3, at + 4) if (one.prompt_id, p) in stored]
        assert [token.position for token in one.tokens] == window
        assert [(t.text, t.before, t.after) for t in one.tokens] == [stored[(one.prompt_id, p)] for p in window]
        assert one.ends == (window[-1] == last[one.prompt_id])
        head = HEAD.format(one.prompt_id)
        missing = max(0, N_PROMPT - 1 - (at - 3))
        assert head.endswith(one.lead) and len(one.lead) <= 5 * missing
        assert not one.starts


def test_the_whole_prompt_is_shown_where_it_fits(dense: Filled) -> None:
    view = _tokens(describe_neuron(dense.db, "L0.N3", context=30))
    for one in (one for each in view.lists for one in each.examples):
        assert one.starts and one.lead == HEAD.format(one.prompt_id)


def test_text_before_the_first_scored_token() -> None:
    assert head_of("ask\n", "\n", 3) == "ask"
    assert head_of("ask", "", 3) == "ask"
    assert head_of("ask", "zzz", 3) == "ask"
    assert head_of("ask", "ask", 0) == ""
    assert end_of("one two three", 50) == "one two three"
    assert end_of("one two three", 7) == "three"
    assert end_of("abcdefgh", 3) == "fgh"
    assert end_of("abc", 0) == ""


def test_equal_contexts_are_shown_once(db: Database) -> None:
    """Prompts 1 to 60 are one text and prompt 61 another: more prompts are looked at until there are two contexts."""
    made = add_run(db, "kept", DENSE, 1)
    add_tokens(db, made, "rows", [(0, None, 0)], ["a"], n_prompts=61)
    with db.write() as connection:
        connection.execute("DELETE FROM scored_tokens WHERE position > ?", [N_PROMPT])
        connection.execute("UPDATE run_prompts SET formatted = 'same' || chr(10) WHERE prompt_id <= 60")
        connection.execute(
            """UPDATE activation_rows SET before = 0, after = CASE WHEN position = 6 THEN 100 - prompt_id ELSE 0 END
            FROM scored_tokens AS t WHERE t.token_index = activation_rows.token_index"""
        )
    lists = {
        (each.measure, each.lowest): each.examples for each in _tokens(describe_neuron(db, "L0.N0", examples=2)).lists
    }
    assert [(one.prompt_id, one.n_same) for one in lists[("after", False)]] == [(1, 60), (61, 1)]
    assert lists[("before", False)] == lists[("after", True)] == ()


def test_sets_that_hold_it(dense: Filled) -> None:
    with dense.db.write() as connection:
        connection.execute("INSERT INTO models VALUES ('m', 'm', 'm', 'h', '{}', 'llama', 3, 20, [])")
        connection.execute("INSERT INTO models VALUES ('o', 'o', 'o', 'h', '{}', 'llama', 4, 20, [])")
        for run_id, name, model in ((50, "patched", "m"), (51, "other", "o")):
            connection.execute(
                """INSERT INTO runs BY NAME SELECT ? AS run_id, ? AS name, 'patch' AS kind, 'done' AS status,
                now()::TIMESTAMP AS started_at, '{}' AS config, '' AS config_sha256, '' AS snql_version,
                '{}' AS libraries, '' AS platform""",
                [run_id, name],
            )
            connection.execute("INSERT INTO run_models VALUES (?, 'recipient', ?)", [run_id, model])
            shape = DENSE if model == "m" else Shape(4, 20)
            with_it, without = (NeuronSet.of(shape, [(1, neuron), (2, 5)]) for neuron in (0, 1))
            write_variants(
                connection,
                run_id,
                [
                    Variant(0, "recipient", "recipient"),
                    Variant(1, "random", "patched", "r", with_it, control_of=2, control_seed=1),
                    Variant(2, "chosen", "patched", "c", with_it),
                    Variant(3, "without", "patched", "w", without),
                ],
            )
    save_set(dense.db, "mine", "L1.N0,L0.N1", like="bare")
    save_set(dense.db, "others", "L0.N1", like="bare")
    rows = describe_neuron(dense.db, "L1.N0").sets.rows()
    assert rows == [
        ("saved", None, "@mine", 2, False),
        ("patch", "patched", "chosen", 2, False),
        ("patch", "patched", "random", 2, True),
    ]


@pytest.mark.parametrize("damage", ["missing", "damaged"])
def test_a_shard_that_cannot_be_read(db: Database, damage: str) -> None:
    made = add_run(db, "kept", DENSE, 1)
    add_tokens(db, made, "parquet", KEPT, ["a"])
    (shard,) = (folder_of(db.path, made.run_id) / name for name in ("000000.parquet",))
    shard.unlink() if damage == "missing" else shard.write_bytes(b"PAR1 not any more")
    for describe in (lambda: describe_neuron(db, "L0.N3"), lambda: describe_neurons(db, "L0.N3")):
        with pytest.raises(DatabaseError, match="cannot be read: `snql db check`"):
            describe()
    assert describe_neuron(db, "L1.N0").runs[0].tokens is not None


def test_runs_of_old_databases_keep_what_is_in_their_rows(dense: Filled) -> None:
    with dense.db.write() as connection:
        connection.execute("UPDATE runs SET kept_set_id = NULL")
        ((n_rows,),) = connection.execute("SELECT count(*) FROM activation_rows").fetchall()
    kept = dict(describe_neuron(dense.db, "L1.N0").scores.select("run", "kept").iter_rows())
    assert kept == {"kept": n_rows > 0, "bare": False}


def test_a_kept_expert_that_no_token_reached(mixed: Filled) -> None:
    with mixed.db.write() as connection:
        members = NeuronSet.of(mixed.bare.shape, [(0, 1, 2)])
        runs.set_kept(connection, mixed.bare.run_id, save_members(connection, members), "rows")
    (view,) = describe_neuron(mixed.db, "L0.E1.N2").runs
    assert (view.run, view.tokens) == ("bare", None) and "no token reached it" in str(view.missing)


def test_which_run_is_shown(dense: Filled) -> None:
    assert [view.run for view in describe_neuron(dense.db, "L1.N0").runs] == ["kept"]
    ranks = {made.name: made.row((1, None, 5))["rank"] for made in (dense.kept, dense.bare)}
    best = min(ranks, key=lambda name: (ranks[name] is None, ranks[name]))
    assert [view.run for view in describe_neuron(dense.db, "L1.N5").runs] == [best]
    views = describe_neuron(dense.db, "L1.N0", ["bare", "kept"]).runs
    assert [(view.run, view.tokens is None) for view in views] == [("bare", True), ("kept", False)]
    assert "--keep L1.N0" in str(views[0].missing) and "'bare'" in str(views[0].missing)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("L9.N0", "no L9.N0"),
        ("L1.E0.N0", "no L1.E0.N0"),
        ("neuron", "write L12.N345"),
        ("L1.N2,L1.N3", "is not a neuron"),
    ],
)
def test_neurons_that_are_none(dense: Filled, name: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        describe_neuron(dense.db, name)


def test_an_unknown_run_and_no_run(dense: Filled, db: Database) -> None:
    with pytest.raises(InputError, match=r"no finished locate run 'zzz' .* its runs are kept, bare"):
        describe_neuron(dense.db, "L0.N0", ["zzz"])
    with db.write() as connection:
        connection.execute("UPDATE runs SET status = 'running'")
    with pytest.raises(InputError, match="run `snql locate` first"):
        describe_neuron(dense.db, "L0.N0")


def test_models_of_several_shapes(dense: Filled) -> None:
    add_run(dense.db, "wide", Shape(3, 30), 5)
    with pytest.raises(InputError, match="3x20 and 3x30 neurons: choose with `run`"):
        describe_neuron(dense.db, "L0.N3")
    with pytest.raises(InputError, match="'bare' and 'wide' are of models with 3x20 and 3x30"):
        describe_neuron(dense.db, "L0.N3", ["bare", "wide"])
    with pytest.raises(InputError, match="no model of .* has a neuron L0.N30"):
        describe_neuron(dense.db, "L0.N30")
    assert describe_neuron(dense.db, "L0.N3", ["bare"]).shape == DENSE
    only = describe_neuron(dense.db, "L0.N25")
    assert only.scores["run"].to_list() == ["wide"]


def test_runs_of_other_base_models_are_noted(dense: Filled) -> None:
    assert describe_neuron(dense.db, "L0.N3").notes == ()
    with dense.db.write() as connection:
        for made, base in ((dense.kept, "a"), (dense.bare, "b")):
            connection.execute("INSERT INTO models VALUES (?, '', '', ?, '{}', 'llama', 3, 20, [])", [base, base])
            connection.execute("INSERT INTO run_models VALUES (?, 'before', ?)", [made.run_id, base])
    assert "different base models" in describe_neuron(dense.db, "L0.N3").notes[0]


def test_frames_hold_the_page(dense: Filled) -> None:
    page = describe_neuron(dense.db, "L0.N3")
    frames = page.frames()
    view = _tokens(page)
    assert frames["examples"].height == sum(len(each.examples) for each in view.lists)
    assert frames["layers"]["n_neurons"].sum() == 20 and frames["layers"]["own"].sum() == 1
    assert frames["activations"]["n_before"].sum() == frames["activations"]["n_after"].sum() == view.n_tokens
    first = frames["examples"].row(0, named=True)
    assert first["value"] == first[first["measure"]]
    assert first["tokens"][[t["position"] for t in first["tokens"]].index(first["position"])]["token"] == first["token"]
