"""Patch runs in the database: every mode, directions, positions, samples, and what is stored of each step."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from snql.db.connection import Database
from snql.errors import InputError
from snql.generation.options import WritingOptions
from snql.judges.options import JudgingOptions
from snql.options import changed
from snql.patching.options import Mode, PatchOptions
from snql.patching.patch import PatchResult, patch
from snql.prompts.options import PromptOptions

from ..conftest import save_ia3, save_tiny_llama
from .located import SOURCE, locate_run

pytestmark = pytest.mark.usefixtures("lingering")


@pytest.fixture
def located(db: Database, tiny_llama: Path, tiny_adapter: Path) -> Database:
    locate_run(db, tiny_llama, tiny_adapter)
    return db


@pytest.fixture
def run(located: Database, tiny_llama: Path, tiny_adapter: Path) -> Any:
    """Run a patch with some settings, between the tiny Llama and its tuned self."""

    def call(name: str, neurons: tuple[str, ...], **settings: Any) -> PatchResult:
        chosen: dict[str, Any] = {"max_new_tokens": 8, "allow_overlap": True, "judges": ("demo:cost",)} | settings
        source = chosen.pop("source", SOURCE)
        donor = chosen.pop("donor", f"{tiny_llama}+{tiny_adapter}")
        return patch(
            located,
            name,
            changed(
                PatchOptions(
                    recipient=str(tiny_llama),
                    donor=donor,
                    mode=chosen.pop("mode", "donor"),
                    neurons=neurons,
                    prompts=source,
                    judging=JudgingOptions(("refusal",)),
                ),
                **chosen,
            ),
        )

    return call


def tokens(db: Database, run: str) -> dict[str, dict[tuple[int, int], list[int]]]:
    """By variant: what was written for each prompt and sample."""
    found: dict[str, dict[tuple[int, int], list[int]]] = {}
    query = "SELECT variant, prompt_id, sample, token_ids FROM run_completions WHERE run = ? AND kind = 'patch'"
    for variant, prompt, sample, ids in db.rows(query, [run]):
        found.setdefault(variant, {})[prompt, sample] = ids
    return found


def test_freeze_is_the_other_direction(located: Database, run: Any, tiny_llama: Path, tiny_adapter: Path) -> None:
    """The donor writes with neurons of the recipient: as with the roles swapped, but for the effects."""
    run("frozen", ("L1.N3", "found:20%", "all", "found:0"), freeze=True)
    found = tokens(located, "frozen")
    assert found["found:0"] == found["donor"]
    assert found["all"] == found["recipient"]
    assert found["recipient"] != found["donor"]
    swapped = PatchOptions(
        recipient=f"{tiny_llama}+{tiny_adapter}",
        donor=str(tiny_llama),
        neurons=("found:20%",),
        prompts=SOURCE,
        judging=JudgingOptions(("refusal",)),
        writing=WritingOptions(max_new_tokens=8),
        allow_overlap=True,
    )
    patch(located, "swapped", swapped)
    other = tokens(located, "swapped")
    assert found["found:20%"] == other["found:20%"]
    assert (found["recipient"], found["donor"]) == (other["donor"], other["recipient"])
    effects = dict(located.rows("SELECT variant, effect FROM causal_effects WHERE run = 'frozen'"))
    if effects["all"] is not None:
        assert (effects["all"], effects["found:0"]) == pytest.approx((0, 1))


def test_modes_without_a_donor(located: Database, run: Any, tiny_llama: Path) -> None:
    result = run("zeroed", ("found:20%", "found:0"), mode="zero", donor=None, random=1)
    found = tokens(located, "zeroed")
    assert set(found) == {"recipient", "found:20%", "random(found:20%, seed=1)", "found:0"}
    assert found["found:0"] == found["recipient"]
    assert found["found:20%"] != found["recipient"]
    assert result.effects["effect"].is_null().all()
    assert result.effects["gap"].is_null().all()
    assert result.effects.filter(variant="found:0").row(0, named=True)["change"] == 0
    scaled = run("scaled", ("found:20%",), mode="scale 0", donor=None)
    assert tokens(located, "scaled")["found:20%"] == found["found:20%"]
    assert len(scaled.effects) == 1
    run("same", ("all",), mode="scale:1", donor=None)
    assert tokens(located, "same")["all"] == found["recipient"]
    with_donor = run("zeroed-donor", ("found:20%",), mode="zero")
    assert tokens(located, "zeroed-donor")["found:20%"] == found["found:20%"]
    assert with_donor.effects["gap"].is_not_null().all()
    assert located.rows("SELECT DISTINCT donor_ids FROM run_completions WHERE run = 'zeroed-donor'") == [(None,)]


def test_means_and_noise_are_those_of_a_run(located: Database, run: Any, tmp_path: Path) -> None:
    run("own", ("found:20%",), mode="mean:found", donor=None)
    run("before", ("found:20%",), mode="mean:found:before", donor=None)
    run("after", ("found:20%",), mode="mean:found:after", donor=None)
    assert tokens(located, "own") == tokens(located, "before") != tokens(located, "after")
    for name, mode, seed in (
        ("a", "noise:found", 1),
        ("b", "noise:found", 1),
        ("c", "noise:found:3", 1),
        ("d", "noise:found", 2),
    ):
        run(name, ("found:20%",), mode=mode, seed=seed, donor=None, batch_size=3 if name == "a" else 20)
    noisy = {name: tokens(located, name)["found:20%"] for name in "abcd"}
    assert noisy["a"] == noisy["b"]
    assert noisy["a"] != noisy["c"]
    assert noisy["a"] != noisy["d"]
    other = save_tiny_llama(tmp_path / "other", seed=3)
    with pytest.raises(InputError, match="neither model of the run is the one that is patched: say whose"):
        patch(
            located,
            "x",
            PatchOptions(
                recipient=str(other),
                donor=None,
                neurons=("all",),
                prompts=SOURCE,
                mode="mean:found",
                judging=JudgingOptions(("refusal",)),
            ),
        )
    small = save_tiny_llama(tmp_path / "small", n_layers=2)
    with pytest.raises(InputError, match="the run is of a model with 3x40 neurons, this one has 2x40"):
        patch(
            located,
            "x",
            PatchOptions(
                recipient=str(small),
                donor=None,
                neurons=("all",),
                prompts=SOURCE,
                mode="mean:found:after",
                judging=JudgingOptions(("refusal",)),
            ),
        )
    with pytest.raises(InputError, match="no finished locate run 'lost'"):
        run("x", ("all",), mode="mean:lost", donor=None)


@pytest.mark.parametrize(
    ("text", "mode"),
    [
        ("donor", Mode("donor")),
        ("zero", Mode("zero")),
        ("scale:-0.5", Mode("scale", factor=-0.5)),
        ("scale 2", Mode("scale", factor=2)),
        ("mean:a", Mode("mean", "a")),
        ("mean:a:after", Mode("mean", "a", "after")),
        ("noise:a", Mode("noise", "a")),
        ("noise:a:0.5", Mode("noise", "a", factor=0.5)),
        ("noise:a:before:2", Mode("noise", "a", "before", 2)),
    ],
)
def test_modes_are_read(text: str, mode: Mode) -> None:
    assert Mode.parse(text) == mode


@pytest.mark.parametrize(
    "text",
    [
        *("", "one", "zero:1", "scale", "scale:x", "scale:nan", "scale:inf", "mean", "mean:", "mean:a:b"),
        *("noise:a:-1", "noise:a:0", "noise:a:1:2", "mean:a:after:3", "donor:x"),
    ],
)
def test_modes_that_are_not_known(text: str) -> None:
    with pytest.raises(InputError, match=r"`mode` '.*' is not known: use donor, donor-weights, both, zero, mean:RUN"):
        Mode.parse(text)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"donor": None}, "`mode` donor needs a donor"),
        ({"freeze": True, "mode": "zero"}, "`freeze` is about the donor's activations"),
        ({"steps": "some"}, "`steps` 'some' is not known: use prompt, completion, all"),
        ({"first": 0}, "`first` 0 is for tokens of the completion"),
        ({"first": 3, "steps": "prompt"}, "`first` 3 is for tokens of the completion"),
        ({"samples": 2}, "`samples` 2 would all be the same: give `temperature`"),
        ({"samples": 0}, "`samples` 0 is out of range: use 1 to"),
        ({"temperature": -1.0}, "`temperature` -1.0 is out of range"),
        ({"top_p": 0.0}, "`top_p` 0.0 is out of range"),
        ({"batch_size": "all"}, "`batch_size` 'all' is not known"),
        ({"random_anywhere": -1}, "`random_anywhere` -1: it must be at least 0"),
    ],
)
def test_settings_that_make_no_sense(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        changed(
            PatchOptions(
                recipient="x",
                donor=settings.pop("donor", "y"),
                neurons=("all",),
                prompts=SOURCE,
                judging=JudgingOptions(("refusal",)),
            ),
            **settings,
        )


def test_what_is_stored_of_each_step(located: Database, run: Any) -> None:
    """The view of steps against a run without drafts, and against the unpatched completions."""
    run("drafted", ("found:0", "found:20%", "all"), max_new_tokens=10)
    run("plain", ("found:0", "found:20%", "all"), max_new_tokens=10, drafts=False, batch_size=2)
    run("untraced", ("found:20%",), max_new_tokens=10, drafts=False, batch_size=2, trace=False)
    columns = "variant, prompt_id, step, token_id, unpatched_id, donor_id, changed, agrees"
    query = f"SELECT {columns} FROM patch_steps WHERE run = ? ORDER BY ALL"
    rows = located.rows(query, ["drafted"])
    assert rows == located.rows(query, ["plain"])
    assert all(changed == (token != unpatched) for _, _, _, token, unpatched, _, changed, _ in rows)
    assert all(agrees == (token == donor) for _, _, _, token, _, donor, _, agrees in rows)
    assert not any(changed for variant, *_, changed, _ in rows if variant == "found:0")
    assert all(agrees for variant, *_, agrees in rows if variant == "all")
    assert any(changed for *_, changed, _ in rows)
    written = tokens(located, "drafted")
    for variant in ("found:20%", "all"):
        for (prompt, _), own in written["recipient"].items():
            patched = written[variant][prompt, 0]
            same = next((i for i, (a, b) in enumerate(zip(own, patched, strict=False)) if a != b), None)
            changes = [step for v, p, step, *_, changed, _ in rows if (v, p) == (variant, prompt) and changed]
            assert (changes[0] if changes else None) == (None if same is None else same + 1)
    untraced = located.rows("SELECT count(*), count(changed), count(agrees) FROM patch_steps WHERE run = 'untraced'")
    ((n, n_changed, n_agrees),) = untraced
    alone = tokens(located, "untraced")
    assert alone["found:20%"] == written["found:20%"]  # whichever other variants ran
    assert (n_changed, n_agrees) == (0, n)

    frame = pl.DataFrame(rows, schema=columns.split(", "), orient="row")
    by_hand = frame.group_by("variant").agg(
        pl.len().alias("n_steps"),
        pl.col("changed").mean().alias("changed_steps"),
        pl.col("agrees").mean().alias("donor_steps"),
    )
    for row in by_hand.iter_rows(named=True):
        ((n_steps, changed, agreeing, n_completions),) = located.rows(
            "SELECT n_steps, changed_steps, donor_steps, n_completions FROM patch_disagreements "
            "WHERE run = 'drafted' AND variant = ?",
            [row["variant"]],
        )
        assert (n_steps, n_completions) == (row["n_steps"], 12)
        assert (changed, agreeing) == pytest.approx((row["changed_steps"], row["donor_steps"]))


def test_samples_are_paired_and_stored_one_by_one(located: Database, run: Any) -> None:
    settings: dict[str, Any] = {"temperature": 1.2, "top_p": 0.95, "samples": 3, "seed": 4}
    run("drawn", ("found:0", "found:20%", "all"), **settings)
    run("again", ("all", "found:20%", "found:0"), **settings, batch_size=2, drafts=False)
    drawn, again = tokens(located, "drawn"), tokens(located, "again")
    assert drawn == again
    assert all(len(written) == 36 for written in drawn.values())
    assert drawn["found:0"] == drawn["recipient"]
    assert drawn["all"] == drawn["donor"]
    first = {prompt: ids for (prompt, sample), ids in drawn["recipient"].items() if sample == 0}
    assert any(ids != first[prompt] for (prompt, sample), ids in drawn["recipient"].items() if sample > 0)
    run("other", ("found:0",), **settings | {"seed": 5})
    assert tokens(located, "other")["recipient"] != drawn["recipient"]
    effects = located.frame("SELECT * FROM causal_effects WHERE run = 'drawn'")
    scores = located.frame(
        "SELECT v.name, j.prompt_id, avg(score) AS score FROM judgements AS j "
        "JOIN variants AS v USING (run_id, variant_id) JOIN runs USING (run_id) WHERE runs.name = 'drawn' GROUP BY ALL"
    )
    means = dict(scores.group_by("name").agg(pl.col("score").mean()).iter_rows())
    for row in effects.iter_rows(named=True):
        assert row["n_prompts"] == 12
        assert row["mean_patched"] == pytest.approx(means[row["variant"]])
    steps = located.rows("SELECT bool_or(changed) FROM patch_steps WHERE run = 'drawn' AND variant = 'found:0'")
    assert steps == [(False,)]
    assert located.rows("SELECT done, total FROM run_progress WHERE run = 'drawn'") == [(180, 180)]


def test_controls_of_all_kinds_and_what_a_set_has_over_them(located: Database, run: Any) -> None:
    result = run("controlled", ("found:10%",), random=3, random_magnitude=2, random_anywhere=2)
    variants = located.rows(
        "SELECT v.name, control_kind, n_neurons FROM variants AS v JOIN runs USING (run_id) "
        "WHERE runs.name = 'controlled' AND control_of IS NOT NULL ORDER BY variant_id"
    )
    assert variants == [
        *((f"random(found:10%, seed={seed})", "matched", 8) for seed in (1, 2, 3)),
        *((f"random(found:10%, seed={seed}, match=magnitude)", "magnitude", 8) for seed in (1, 2)),
        *((f"random(found:10%, seed={seed}, anywhere)", "anywhere", 8) for seed in (1, 2)),
    ]
    rows = {row["control_kind"]: row for row in located.frame("SELECT * FROM control_effects").iter_rows(named=True)}
    scores = located.frame(
        "SELECT v.name, v.role, v.control_kind, j.prompt_id, score FROM judgements AS j "
        "JOIN variants AS v USING (run_id, variant_id) JOIN runs USING (run_id) WHERE runs.name = 'controlled'"
    ).sort("prompt_id")
    patched = scores.filter(name="found:10%")["score"].to_numpy()
    for kind, n in (("matched", 3), ("magnitude", 2), ("anywhere", 2)):
        controls = scores.filter(control_kind=kind).group_by("prompt_id").agg(pl.col("score").mean()).sort("prompt_id")
        differences = patched - controls["score"].to_numpy()
        assert rows[kind]["n_controls"] == n
        assert rows[kind]["difference"] == pytest.approx(np.mean(differences), abs=1e-12)
    (own,) = result.effects.filter(variant="found:10%").iter_rows(named=True)
    assert (own["controls_kind"], own["n_controls"]) == ("matched", 3)
    assert own["controls_difference"] == rows["matched"]["difference"]
    assert own["controls_permutation_p_value"] == rows["matched"]["permutation_p_value"]
    others = result.effects.filter(pl.col("control_of").is_not_null())
    assert others["controls_difference"].is_null().all()
    charts = located.rows("SELECT n_controls FROM figure_effects WHERE run = 'controlled'")
    assert charts == [(3,)]


def test_transfer_over_prompt_sets(located: Database, run: Any, tmp_path: Path) -> None:
    texts = {"a": ["one", "two two", "three"], "b": ["four", "five five"]}
    for name, lines in texts.items():
        (tmp_path / f"{name}.txt").write_text("\n".join(lines))
    source = PromptOptions(tuple(str(tmp_path / f"{name}.txt") for name in texts), template="tulu")
    result = run("moved", ("found:20%", "all"), source=source)
    assert sorted(result.effects.select("dataset", "variant", "n_prompts").rows()) == [
        ("*", "all", 5),
        ("*", "found:20%", 5),
        ("a.txt", "all", 3),
        ("a.txt", "found:20%", 3),
        ("b.txt", "all", 2),
        ("b.txt", "found:20%", 2),
    ]


def test_a_response_prefix_is_given_and_patched(located: Database, run: Any) -> None:
    source = PromptOptions(SOURCE.prompts, template="tulu", response_prefix="Sure")
    run("forced", ("all",), source=source)
    found = tokens(located, "forced")
    assert found["all"] == found["donor"]
    assert located.rows(
        "SELECT DISTINCT right(formatted, 4) FROM run_prompts JOIN runs USING (run_id) WHERE name = 'forced'"
    ) == [("Sure",)]


def test_positions_reach_the_engine(located: Database, run: Any) -> None:
    run("all-steps", ("all",))
    run("prompt-only", ("all",), steps="prompt")
    run("completion-only", ("all",), steps="completion")
    run("first-only", ("all",), first=1)
    found = {name: tokens(located, name) for name in ("all-steps", "prompt-only", "completion-only", "first-only")}
    first_of = {name: {key: ids[0] for key, ids in part["all"].items()} for name, part in found.items()}
    recipient = {key: ids[0] for key, ids in found["all-steps"]["recipient"].items()}
    donor = {key: ids[0] for key, ids in found["all-steps"]["donor"].items()}
    assert first_of["completion-only"] == recipient != donor
    assert first_of["prompt-only"] == first_of["first-only"] == donor
    assert found["prompt-only"]["all"] == found["first-only"]["all"] != found["all-steps"]["all"]


def test_the_planted_pair_has_an_effect_of_one_under_every_way(db: Database, tmp_path: Path, tiny_llama: Path) -> None:
    """Effects of exactly 1 and 0, drafts or not, fused batch of any size."""
    import torch

    scales = [torch.ones(40) for _ in range(3)]
    scales[1][[3, 9, 17]] = torch.tensor([6.0, -4.0, 5.0])
    adapter = save_ia3(tmp_path / "planted", scales)
    for name, settings in (("a", {}), ("b", {"drafts": False, "batch_size": 3})):
        options = changed(
            PatchOptions(
                recipient=str(tiny_llama),
                donor=f"{tiny_llama}+{adapter}",
                neurons=("L1.N3,L1.N9,L1.N17",),
                prompts=SOURCE,
                judging=JudgingOptions(("demo:cost",)),
                random=2,
                writing=WritingOptions(max_new_tokens=12),
            ),
            **settings,
        )
        patch(db, name, options)
        found = tokens(db, name)
        assert found["L1.N3,L1.N9,L1.N17"] == found["donor"]
        controls = [variant for variant in found if variant.startswith("random")]
        assert all(found[variant] == found["recipient"] for variant in controls)
        effects = db.rows("SELECT variant, effect FROM causal_effects WHERE run = ? AND defined", [name])
        assert all(effect == (0.0 if variant in controls else 1.0) for variant, effect in effects)
