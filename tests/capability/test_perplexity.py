"""Perplexity against plain Hugging Face forward passes, and against limits; resuming; bad input."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from scipy import stats

from snql.capability import perplexity as module
from snql.capability.documents import tokenize_documents
from snql.capability.measures import token_nlls
from snql.capability.options import PerplexityOptions, SubjectOptions, TextOptions
from snql.capability.perplexity import PerplexityResult, perplexity
from snql.capability.windows import Striding
from snql.db.connection import Database
from snql.errors import InputError, ModelError
from snql.jobs.inputs import PromptInputs
from snql.neurons.sets import NeuronSet, Shape
from snql.options import changed
from snql.prompts.options import PromptOptions
from snql.prompts.read import PromptSets
from snql.prompts.types import RawPrompt
from snql.rankings.evaluate import Evaluator

from ..conftest import save_tiny_llama
from ..patching.by_hand import donated
from .conftest import Logits

pytestmark = pytest.mark.usefixtures("lingering")

TEXTS = ["The quick brown fox jumps over the lazy dog.", "Water boils at 100 degrees.", "Why?", "Ünïcode, too."]
SHAPE = Shape(3, 40)


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    path = tmp_path / "texts.jsonl"
    pl.DataFrame({"text": TEXTS}).write_ndjson(path)
    return path


@pytest.fixture
def run(made: Database, texts: Path, tiny_llama: Path, tiny_adapter: Path) -> Any:
    """Measure the tiny Llama on the texts, in windows of 16 tokens that move on by 6."""

    def call(name: str, neurons: Sequence[str] = (), **settings: Any) -> PerplexityResult:
        donor = settings.pop("donor", f"{tiny_llama}+{tiny_adapter}" if neurons else None)
        text = changed(TextOptions(text=(settings.pop("text", str(texts)),)), **settings.pop("reading", {}))
        more = {key: settings.pop(key) for key in ("resume", "force", "progress") if key in settings}
        window, stride = settings.pop("windows", (16, 6))
        subject = changed(
            SubjectOptions(
                model=settings.pop("model", str(tiny_llama)),
                donor=donor,
                mode=settings.pop("mode", "donor"),
                neurons=tuple(neurons),
            ),
            **settings,
        )
        options = PerplexityOptions(subject=subject, text=text, window=window, stride=stride)
        return perplexity(made, name, options, **more)

    return call


def losses(db: Database, run: str, variant: str = "recipient") -> dict[tuple[int, int], float]:
    rows = db.rows("SELECT prompt_id, position, nll FROM token_losses WHERE run = ? AND variant = ?", [run, variant])
    return {(prompt, position): nll for prompt, position, nll in rows}


def strided(ids: Sequence[int], logits: Any, window: int = 16, stride: int = 6) -> dict[int, float]:
    """Each token's loss as the Hugging Face guide to perplexity masks its labels, window by window."""
    found: dict[int, float] = {}
    last = 0
    for begin in range(0, len(ids), stride):
        end = min(begin + window, len(ids))
        part = torch.tensor(ids[begin:end])
        labels = part.clone()
        labels[: len(part) - (end - last)] = -100
        nll = torch.nn.functional.cross_entropy(
            logits(part.tolist())[:-1].double(), labels[1:], ignore_index=-100, reduction="none"
        )
        found |= {begin + 1 + i: float(nll[i]) for i in range(len(nll)) if labels[i + 1] != -100}
        last = end
        if end == len(ids):
            break
    return found


def expected(db: Database, run: str, logits: Any) -> dict[tuple[int, int], float]:
    query = "SELECT prompt_id, input_ids FROM run_prompts JOIN runs USING (run_id) WHERE name = ?"
    return {
        (prompt, position): nll
        for prompt, ids in db.rows(query, [run])
        for position, nll in strided(ids, logits).items()
    }


def test_the_plain_model_is_hugging_faces_own(made: Database, run: Any, tiny_llama: Path, plain_model: Any) -> None:
    model = plain_model(tiny_llama)

    def logits(ids: list[int]) -> torch.Tensor:
        with torch.inference_mode():
            return model(torch.tensor([ids])).logits[0]  # type: ignore[no-any-return]

    (row,) = run("plain").perplexities.iter_rows(named=True)
    by_hand = expected(made, "plain", logits)
    assert losses(made, "plain") == pytest.approx(by_hand, abs=2e-5)
    assert row["n_tokens"] == len(by_hand)
    assert row["perplexity"] == pytest.approx(math.exp(np.mean(list(by_hand.values()))), rel=1e-5)
    assert (row["ratio"], row["ratio_ci_low"], row["unit"], row["n_documents"]) == (1, 1, "document", 4)
    tokens = made.rows("SELECT token_id FROM token_losses WHERE run = 'plain' AND position = 1 ORDER BY prompt_id")
    stored = made.rows("SELECT input_ids[2] FROM run_prompts JOIN runs USING (run_id) WHERE name = 'plain'")
    assert sorted(tokens) == sorted(stored)


def test_patched_losses_are_those_of_neurons_overwritten_by_hand(
    made: Database, run: Any, logits_by_hand: Logits
) -> None:
    found = run("patched", ("found:20%", "all", "found:0")).perplexities
    neurons = Evaluator(made, SHAPE).evaluate("found:20%")
    by_hand = expected(made, "patched", lambda ids: logits_by_hand(ids, neurons, donated))
    assert losses(made, "patched", "found:20%") == pytest.approx(by_hand, abs=5e-5)
    assert losses(made, "patched", "found:0") == pytest.approx(losses(made, "patched"), abs=5e-5)
    assert losses(made, "patched", "all") == pytest.approx(losses(made, "patched", "donor"), abs=5e-5)
    assert losses(made, "patched", "donor") != pytest.approx(losses(made, "patched"), abs=0.1)
    plain = sum(losses(made, "patched").values())
    for row in found.iter_rows(named=True):
        nlls = losses(made, "patched", row["variant"])
        assert row["ratio"] == pytest.approx(math.exp((sum(nlls.values()) - plain) / len(nlls)))
    found = run("controlled", ("found:20%",), random=1).perplexities
    (own,) = found.filter(variant="found:20%").iter_rows(named=True)
    (control,) = found.filter(control_of="found:20%").iter_rows(named=True)
    assert (own["n_controls"], own["controls_ratio"]) == (1, control["ratio"])


@pytest.mark.parametrize(
    ("mode", "change"),
    [
        ("zero", lambda _la, _p, _n, own, _o: torch.zeros_like(own)),
        ("scale:0.5", lambda _la, _p, _n, own, _o: own / 2),
    ],
)
def test_modes_without_a_donor(made: Database, run: Any, logits_by_hand: Logits, mode: str, change: Any) -> None:
    run("ablated", ("L1.N3,L1.N9,L2.N7",), donor=None, mode=mode)
    neurons = NeuronSet.of(SHAPE, [(1, 3), (1, 9), (2, 7)])
    by_hand = expected(made, "ablated", lambda ids: logits_by_hand(ids, neurons, change))
    assert losses(made, "ablated", "L1.N3,L1.N9,L2.N7") == pytest.approx(by_hand, abs=5e-5)


def test_means_are_those_of_a_run(made: Database, run: Any, logits_by_hand: Logits) -> None:
    run("averaged", ("L1.N3,L1.N9",), donor=None, mode="mean:found")
    means = dict(made.rows("SELECT neuron, mean_before FROM neuron_scores WHERE run = 'found' AND layer = 1"))

    def change(_layer: int, positions: list[int], neurons: list[int], _own: Any, _other: Any) -> torch.Tensor:
        return torch.tensor([[means[neuron] for neuron in neurons]] * len(positions), dtype=torch.float32)

    neurons = NeuronSet.of(SHAPE, [(1, 3), (1, 9)])
    by_hand = expected(made, "averaged", lambda ids: logits_by_hand(ids, neurons, change))
    assert losses(made, "averaged", "L1.N3,L1.N9") == pytest.approx(by_hand, abs=5e-5)


def test_noise_depends_on_seed_and_place_alone(made: Database, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def noisy(name: str, seed: int, mode: str = "noise:found:2") -> dict[tuple[int, int], float]:
        run(name, ("L1.N3,L1.N9",), donor=None, mode=mode, seed=seed)
        return losses(made, name, "L1.N3,L1.N9")

    first, other = noisy("first", 1), noisy("other", 2)
    monkeypatch.setattr("snql.patching.reader.choosing_tokens", lambda _: 32)
    assert noisy("again", 1) == pytest.approx(first, abs=5e-5)
    assert first != pytest.approx(other, abs=1e-2)
    assert first != pytest.approx(losses(made, "first"), abs=1e-2)


def test_two_checkpoints_in_lockstep(made: Database, run: Any, tiny_llama: Path, tmp_path: Path) -> None:
    other = save_tiny_llama(tmp_path / "other", seed=4)
    run("apart", ("all", "found:0"), donor=str(other))
    run("alone", model=str(other))
    # All neurons are the other model's, but not what the layers around them make of these.
    assert losses(made, "apart", "donor") == pytest.approx(losses(made, "alone"), abs=5e-5)
    assert losses(made, "apart", "found:0") == pytest.approx(losses(made, "apart"), abs=5e-5)
    assert losses(made, "apart", "all") != pytest.approx(losses(made, "apart"), abs=0.1)


def test_intervals_are_over_documents(made: Database, run: Any) -> None:
    """Fieller's bounds, at which Student's t is that of 95%, from the losses in the database."""
    (row,) = run("plain").perplexities.iter_rows(named=True)
    sums = made.rows(
        "SELECT sum(nll), count(*) FROM token_losses WHERE run = 'plain' GROUP BY prompt_id ORDER BY prompt_id"
    )
    nlls, counts = np.array(sums).T
    for bound in (row["ci_low"], row["ci_high"]):
        t = stats.ttest_1samp(nlls - math.log(bound) * counts, 0).statistic
        assert abs(t) == pytest.approx(stats.t.ppf(0.975, len(nlls) - 1))
    assert row["ci_low"] < row["perplexity"] < row["ci_high"]


def test_one_document_and_joined_rows(made: Database, run: Any, tmp_path: Path) -> None:
    path = tmp_path / "book.txt"
    path.write_text("\n\n".join(TEXTS))
    (book,) = run("book", text=str(path)).perplexities.iter_rows(named=True)
    (joined,) = run("joined", reading={"join": True}).perplexities.iter_rows(named=True)
    assert (book["n_documents"], book["unit"]) == (1, "window")
    assert list(losses(made, "book").values()) == list(losses(made, "joined").values())
    assert (book["perplexity"], book["ci_low"]) == (joined["perplexity"], joined["ci_low"])
    (whole,) = run("whole", text=str(path), windows=(200, 100)).perplexities.iter_rows(named=True)
    assert (whole["n_windows"], whole["ci_low"]) == (1, None)
    assert whole["n_tokens"] == book["n_tokens"]


@pytest.mark.parametrize("n_tokens", [0, 1, 2, 5, 6, 7, 23, 24, 25])
@pytest.mark.parametrize(("window", "stride"), [(2, 1), (6, 5), (6, 1), (6, 3)])
def test_every_token_but_the_first_is_scored_once_with_context(n_tokens: int, window: int, stride: int) -> None:
    windows = list(Striding(window, stride).windows(n_tokens))
    scored = [position for w in windows for position in range(w.first, w.stop)]
    assert scored == list(range(1, n_tokens))
    assert all(w.n_context >= 1 and w.stop - w.start <= window for w in windows)
    assert all(w.n_tokens == stride for w in windows[1:-1])
    assert [w.index for w in windows] == list(range(len(windows)))


def test_a_run_that_was_cut_off_goes_on_to_the_same_bits(
    made: Database, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("snql.patching.reader.choosing_tokens", lambda _: 32)
    monkeypatch.setattr("snql.jobs.work.COMMIT_SECONDS", 0.0)
    whole = run("whole", ("found:20%",)).perplexities.drop("run")
    calls: list[int] = []

    def nlls(logits: torch.Tensor, ids: Sequence[int]) -> list[float]:
        calls.append(1)
        if len(calls) == 20:
            raise KeyboardInterrupt
        return token_nlls(logits, ids)

    with monkeypatch.context() as cutting, pytest.raises(KeyboardInterrupt):
        cutting.setattr(module, "token_nlls", nlls)
        run("cut", ("found:20%",))
    ((status, done, total),) = made.rows("SELECT status, done, total FROM run_progress WHERE run = 'cut'")
    assert status == "interrupted"
    assert 0 < done < total
    with pytest.raises(InputError, match="cannot be resumed: stride differ from when it began"):
        run("cut", ("found:20%",), windows=(16, 5), resume=True)
    again = run("cut", ("found:20%",), resume=True).perplexities.drop("run")
    assert again.equals(whole)
    assert losses(made, "cut", "found:20%") == losses(made, "whole", "found:20%")
    assert made.rows("SELECT done = total, total FROM run_progress WHERE run = 'cut'") == [(True, total)]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"text": "lost.txt"}, "no prompt file lost.txt"),
        ({"reading": {"text_column": "body"}}, "has no column 'body': its columns are text; use `text_column`"),
        ({"windows": (300, None)}, "`window` 300 is longer than the model's context of 256"),
        ({"windows": (1, None)}, "`window` 1 is too short"),
        ({"windows": (16, 16)}, "`stride` 16 does not fit `window` 16: use 1 to 15"),
        ({"windows": (16, 0)}, "`stride` 0 does not fit"),
        ({"donor": "x"}, "`donor` does nothing without `neurons`"),
        ({"random": 2}, "`random` does nothing without `neurons`"),
        ({"mode": "zero"}, "`mode` zero does nothing without `neurons`"),
        ({"neurons": ("all",), "donor": None}, "`mode` donor needs a donor"),
        ({"neurons": ("lost:5%",)}, "no finished locate run 'lost'"),
    ],
)
def test_bad_input_writes_nothing(made: Database, run: Any, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        run("bad", **settings)
    assert made.rows("SELECT name FROM runs WHERE name = 'bad'") == []


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.txt", b"", "text .*empty.txt is empty"),
        ("blank.txt", b" \n \n", "text .*blank.txt is empty"),
        ("empty.jsonl", b"", "text .*empty.jsonl is empty"),
        ("latin.txt", "ü".encode("latin-1"), "is not UTF-8 text"),
        ("number.jsonl", b'{"text": 3}', "column 'text' holds a int, not text"),
    ],
)
def test_texts_that_cannot_be_read(
    made: Database, run: Any, tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        run("bad", text=str(tmp_path / name))


def test_a_text_of_one_token_has_nothing_to_predict() -> None:
    """With a tokenizer that puts no token of its own before it."""
    read = PromptInputs(PromptOptions(("a.txt",)), PromptSets([RawPrompt("a.txt", "x")], []), ())

    def tokenizer(text: str, **_: Any) -> dict[str, list[int]]:
        return {"input_ids": [7] * len(text)}

    with pytest.raises(InputError, match="text 'x' of a.txt has 1 tokens: .* at least 2 are needed"):
        tokenize_documents(read, tokenizer)  # type: ignore[arg-type]


def test_models_whose_tokens_differ_are_refused(run: Any, tmp_path: Path) -> None:
    other = save_tiny_llama(tmp_path / "other")
    config = (other / "tokenizer.json").read_text("utf-8")
    (other / "tokenizer.json").write_text(config.replace('"!"', '"@@"', 1))
    with pytest.raises(ModelError, match="tokenizers of recipient .* differ"):
        run("bad", ("all",), donor=str(other))
