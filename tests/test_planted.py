"""Planted truth: a pair that differs in K known neurons of one layer."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from snql.contrast.locate import locate
from snql.contrast.options import LocateOptions
from snql.db.connection import Database
from snql.db.scores import read_run_scores
from snql.generation.options import WritingOptions
from snql.jobs.work import Job
from snql.judges.base import JudgeInfo, Verdict
from snql.judges.judging import judge_run
from snql.judges.options import JudgingOptions
from snql.patching.options import PatchOptions
from snql.patching.patch import patch
from snql.prompts.options import PromptOptions

from .conftest import ORACLE, save_ia3

pytestmark = pytest.mark.usefixtures("lingering")

N_LAYERS, N_NEURONS = 3, 40


class ChangedJudge:
    """A judge that tells the recipient's own completions (0) from any other (1)."""

    info = JudgeInfo("changed", "test", "1")

    def __init__(self, own: dict[str, str]) -> None:
        self._own = own

    @property
    def at_once(self) -> int:
        return 512

    def judge(self, pairs: Sequence[tuple[str, str]]) -> list[Verdict]:
        return [Verdict(float(completion != self._own[prompt])) for prompt, completion in pairs]


def plant(folder: Path, seed: int) -> tuple[Path, int, set[int]]:
    """An adapter that rescales K random neurons of one random layer; returns it, the layer and the neurons."""
    generator = np.random.default_rng(seed)
    layer, k = int(generator.integers(N_LAYERS)), int(generator.integers(3, 12))
    chosen = generator.choice(N_NEURONS, size=k, replace=False)
    scales = [torch.ones(N_NEURONS) for _ in range(N_LAYERS)]
    scales[layer][chosen] = torch.from_numpy(generator.choice([-4.0, 5.0, 7.0], size=k)).float()
    return save_ia3(folder / f"planted{seed}", scales), layer, {int(neuron) for neuron in chosen}


MORE_SEEDS = pytest.mark.slow("other neurons, planted in the same way")


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=MORE_SEEDS) for seed in (1, 2, 3))])
def test_planted_neurons_rank_first_and_carry_everything(
    db: Database, tmp_path: Path, tiny_llama: Path, seed: int
) -> None:
    adapter, layer, planted = plant(tmp_path, seed)
    before, after = str(tiny_llama), f"{tiny_llama}+{adapter}"
    source = PromptOptions((str(ORACLE / "prompts.jsonl"),), template="tulu")
    skip = N_LAYERS - 1 - layer
    k = len(planted)
    for name, recompute, noise in (("planted", False, 1e-4), ("recomputed", True, 0.0)):
        locate(
            db,
            name,
            LocateOptions(
                before=before,
                after=after,
                prompts=source,
                writing=WritingOptions(max_new_tokens=12),
                skip_last_layers=skip,
                keep="none",
                recompute=recompute,
            ),
        )
        ranking = read_run_scores(db, name)
        assert {(int(i) // N_NEURONS, int(i) % N_NEURONS) for i in ranking.ids[:k]} == {(layer, n) for n in planted}
        query = "SELECT score FROM neuron_scores WHERE run = ? AND rank IS NOT NULL ORDER BY rank"
        scores = db.frame(query, [name])["score"]
        # Written step by step and read at once, equal activations are equal but for rounding; read twice, exactly.
        assert scores[k:].max() <= noise * scores[k - 1]

    options = PatchOptions(
        recipient=before,
        donor=after,
        neurons=(f"planted:{k}",),
        prompts=source,
        random=3,
        writing=WritingOptions(max_new_tokens=12, batch_size=16),
        allow_overlap=True,
        judging=JudgingOptions(("refusal",)),
    )
    run = patch(db, "planted", options)
    own = dict(db.rows("SELECT prompt, text FROM run_completions WHERE variant = 'recipient'"))
    judge_run(Job(db, run.run_id), [ChangedJudge(own)])

    ids = {
        (variant, prompt): tokens
        for variant, prompt, tokens in db.rows(
            "SELECT variant, prompt_id, token_ids FROM run_completions WHERE run = 'planted' AND kind = 'patch'"
        )
    }
    prompts = {prompt for _, prompt in ids}
    controls = [f"random(planted:{k}, seed={s})" for s in (1, 2, 3)]
    assert len(prompts) == 12
    for prompt in prompts:
        assert ids[f"planted:{k}", prompt] == ids["donor", prompt]
        for control in controls:
            assert ids[control, prompt] == ids["recipient", prompt]
    assert sum(ids["donor", prompt] != ids["recipient", prompt] for prompt in prompts) >= 6

    effects = {
        variant: (effect, low, high)
        for variant, effect, low, high in db.rows(
            "SELECT variant, effect, ci_low, ci_high FROM causal_effects WHERE judge = 'changed'"
        )
    }
    effect, low, high = effects[f"planted:{k}"]
    assert effect == 1 and 0.7 < low <= 1 <= high
    for control in controls:
        effect, low, high = effects[control]
        assert effect == 0 and low <= 0 <= high < 0.3
