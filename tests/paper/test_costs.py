"""GPU hours and gigabytes against the same sums made by hand."""

from pathlib import Path

import pytest

from snql.errors import InputError
from snql.paper.costs import estimate, read_rates
from snql.paper.files import Scale, recipe, scale
from snql.paper.plan import Plan, Step, plan

WORKLOAD = {
    "parameters": 1000,
    "bytes_per_weight": 2,
    "neurons": 100,
    "hidden": 8,
    "vocabulary": 50,
    "prompts": 10,
    "prompt_tokens": 5,
    "judge_parameters": 300,
    "text_tokens": 40,
    "batch": 4,
    "sft_tokens": 7,
    "pair_tokens": 9,
    "sizes": {"data": 20, "small": 3},
    "tasks": {"t": [100, 512]},
}
OWN = """
[card]
operations = 1e6
bandwidth = 1e6
reading = 0.5
writing = 0.25
training = 0.1
source = "mine"
"""


def cost(tmp_path: Path, words: str, **options: object) -> tuple[float, float]:
    """Seconds and bytes of one step."""
    rates = tmp_path / "rates.toml"
    rates.write_text(OWN)
    step = Step("id", tuple(words.split()), {key.replace("_", "-"): value for key, value in options.items()}, ())
    one = Plan(Scale("s", "s", (), {}, {}, WORKLOAD), (), (step,), {})
    row = estimate(one, "card", rates).frame.row(0, named=True)
    return row["gpu_hours"] * 3600, row["gigabytes"] * 1e9


def test_locating_writes_once_and_reads_once(tmp_path: Path) -> None:
    seconds, stored = cost(tmp_path, "locate x", prompts="set", max_new_tokens=6, keep="none")
    reading = 2 * 1000 * (10 * 5 + 10 * 11) / (1e6 * 0.5)
    writing = max(2 * 1000 * 10 * 6 / (1e6 * 0.5), 10 / 4 * 6 * 2000 / (1e6 * 0.25))
    assert seconds == pytest.approx(reading + writing)
    assert stored == pytest.approx(100 * 56 + 10 * 11 * 4)


def test_keeping_reads_by_both_models_and_stores_values(tmp_path: Path) -> None:
    bare = cost(tmp_path, "locate x", prompts="set", max_new_tokens=6, keep="none")
    kept = cost(tmp_path, "locate x", prompts="set", max_new_tokens=6, keep="5%")
    assert kept[0] - bare[0] == pytest.approx(2 * 2 * 1000 * 10 * 11 / (1e6 * 0.5))
    assert kept[1] - bare[1] == pytest.approx(2 * 0.05 * 100 * 10 * 6 * 1.9)


def test_a_sample_bounds_each_set(tmp_path: Path) -> None:
    options = {"max_new_tokens": 6, "keep": "none"}
    three = cost(tmp_path, "locate x", prompts="small", **options)
    assert cost(tmp_path, "locate x", prompts="set", sample=3, **options) == three
    assert cost(tmp_path, "locate x", prompts="small", sample=9, **options) == three


def test_patching_counts_recipient_donor_sets_and_controls(tmp_path: Path) -> None:
    seconds, stored = cost(
        tmp_path,
        "patch x",
        prompts=["a", "b"],
        neurons=["n"],
        sweep="10..30:10,50",
        random=2,
        judge=["j", "k"],
        max_new_tokens=6,
    )
    variants = 4 * 3
    rows, answers = 20 * (2 + 2 * variants), 20 * (2 + variants)
    reading = (2 * 1000 * rows * 5 + 2 * 300 * answers * 2 * 11) / (1e6 * 0.5)
    writing = max(2 * 1000 * rows * 6 / (1e6 * 0.5), rows / 4 * 6 * 2000 / (1e6 * 0.25))
    assert seconds == pytest.approx(reading + writing)
    assert stored == pytest.approx(answers * 6 * 10)


def test_windows_are_as_many_as_fit(tmp_path: Path) -> None:
    options = {"prompts": "set", "neurons": ["n"], "judge": "j", "max_new_tokens": 6}
    six = cost(tmp_path, "patch x", window="5%:30%", **options)
    assert six == cost(tmp_path, "patch x", sweep="1,2,3,4,5,6", **options)
    assert cost(tmp_path, "patch x", window="50%", **options) == cost(tmp_path, "patch x", sweep="1,2", **options)


def test_training(tmp_path: Path) -> None:
    assert cost(tmp_path, "train sft out", data="data", epochs=2)[0] == pytest.approx(4 * 1000 * 40 * 7 / (1e6 * 0.1))
    assert cost(tmp_path, "train dpo out", data="data")[0] == pytest.approx(6 * 1000 * 60 * 9 / (1e6 * 0.1))
    with pytest.raises(InputError, match=r"no size of 'other': add it to its `sizes`"):
        cost(tmp_path, "train sft out", data="other")


def test_tasks_and_texts(tmp_path: Path) -> None:
    seconds, _ = cost(tmp_path, "lm-eval x", tasks="t", neurons="n")
    writing = max(2 * 1000 * 8 * 256 / (1e6 * 0.5), 8 / 4 * 256 * 2000 / (1e6 * 0.25))
    assert seconds == pytest.approx(2 * 1000 * 4 * 100 / (1e6 * 0.5) + writing)
    assert cost(tmp_path, "perplexity x", neurons="n")[0] == pytest.approx(2 * 1000 * 2 * 4 * 40 / (1e6 * 0.5))


def test_the_last_row_is_the_sum_and_notes_say_what_was_not_measured() -> None:
    found = estimate(plan((recipe("fig2"), recipe("table1")), scale("llama-2-7b")), "h100-80gb")
    rows = found.frame
    assert rows["step"][-1] == "all"
    for column in ("gpu_hours", "gigabytes"):
        assert rows[column][-1] == pytest.approx(rows[column][:-1].sum())
    assert all(rows.filter(rows["command"].str.starts_with("snql patch"))["gpu_hours"] > 0)
    assert any("No run on a GPU was measured" in note for note in found.notes)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "cannot be read .*: check the path"),
        ("[card", "is not TOML"),
        ("[other]\noperations = 1", "no rates of a card named 'card': choose from a100-80gb, .* with `rates`"),
        ("[card]\noperations = 1", "incomplete: give operations and bandwidth"),
        ("[card]\noperations = 1\nbandwidth = 0", "are not all above 0"),
    ],
)
def test_rates_that_are_none(text: str | None, words: str, tmp_path: Path) -> None:
    path = tmp_path / "rates.toml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=words):
        read_rates("card", path)
