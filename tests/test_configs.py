"""Configurations of runs: what earlier versions stored is what the same settings store now, so that runs go on.

Those of stored_configs.json were written by the version before options had one definition each.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from snql.capability.completions import WrittenBy
from snql.capability.divergence import _config, settings_of
from snql.capability.options import (
    DivergenceOptions,
    LmEvalOptions,
    PerplexityOptions,
    SubjectOptions,
    TextOptions,
)
from snql.capability.windows import Striding
from snql.contrast.options import LocateOptions
from snql.db.guards import StoredGuard
from snql.engines.options import EngineOptions
from snql.generation.options import SamplingOptions, WritingOptions
from snql.guard.options import GuardOptions, GuardTestOptions
from snql.guard.testing import config_of
from snql.judges.options import JudgingOptions
from snql.lens.names import name_of
from snql.lens.options import LensOptions
from snql.models.options import LoadOptions
from snql.options import config, words
from snql.patching.options import PatchOptions, TaxOptions
from snql.prompts.options import PromptOptions
from snql.scorers.options import ScorerOptions
from snql.training.options import DpoOptions, SftOptions

PROMPTS = PromptOptions(("p",))
CHOSEN = PromptOptions(
    ("a b.jsonl", "demo:harmful"),
    prompt_column="goal",
    template="tulu",
    limit=5,
    sample=7,
    where="category = 'x y'",
    disjoint_from=("old", "older"),
    system="Be\nkind.",
    response_prefix="Sure: ",
)
MODELS = LoadOptions(
    dtype="bfloat16",
    device="cpu",
    trust_remote_code=True,
    device_map="auto",
    attn_implementation="eager",
    quantize="8bit",
)
SUBJECT: dict[str, Any] = {"model": "m", "donor": "d", "random": 2, "seed": 4, "models": MODELS}
PATCH = WrittenBy(
    variant=1,
    run="p1",
    run_id=1,
    kind="patch",
    config={
        "recipient": "r",
        "donor": "d",
        "mode": "zero",
        "freeze": True,
        "steps": "prompt",
        "first": 2,
        "seed": 9,
    },
    config_sha256="ab12",
    role="donor",
    models={},
    n_samples=1,
)
GUARD = StoredGuard(
    run_id=7,
    name="g",
    config={"max_new_tokens": 77},
    about={"model": "gm", "facts": {"datasets": ["d"], "judge": "gj", "label_threshold": 0.5}},
    threshold=0.25,
)


def scored(options: ScorerOptions) -> dict[str, Any]:
    """As a run stores it."""
    return options.config() | {"command": ["snql", "locate", "n", *words(options)]}


def read(options: PerplexityOptions, window: int, stride: int) -> dict[str, Any]:
    """As a run stores it: with the windows that its model takes."""
    return config(options) | vars(Striding(window, stride))


def screened(options: DivergenceOptions) -> dict[str, Any]:
    """As a run stores it."""
    return _config(options, PATCH, settings_of(options, PATCH))


TAX = TaxOptions(
    safety="s",
    helpful="h",
    safety_model="ms",
    helpful_model="mh",
    prompts=CHOSEN,
    judging=JudgingOptions(("demo:cost", "x"), judge_signs=("x=reward",), rubric=Path("r.txt")),
    top="3%",
    neurons="safety",
    random=2,
    writing=WritingOptions(max_new_tokens=33, batch_size=8),
    seed=5,
    allow_overlap=True,
    models=MODELS,
)
LENS = LensOptions(
    neurons="safety:20",
    model="m",
    top=5,
    harmful=("h",),
    harmless=("b", "c"),
    layer=1,
    prompts=PromptOptions(template="tulu", limit=2, sample=3, system="s"),
    seed=3,
    models=LoadOptions(
        dtype="bfloat16", device="cpu", trust_remote_code=True, device_map="auto", attn_implementation="eager"
    ),
)
FOUND: dict[str, dict[str, Any]] = {
    "locate": config(LocateOptions(before="a", after="b", prompts=PROMPTS)),
    "locate-all": config(
        LocateOptions(
            before="a@1+b c",
            after="a@1+d",
            prompts=CHOSEN,
            positions="generated",
            completions_by="after",
            writing=WritingOptions(max_new_tokens=9, batch_size=4),
            skip_last_layers=0,
            keep="L1.N2,L3.N4",
            store="parquet",
            recompute=True,
            bootstrap=500,
            after_dtype="float16",
            seed=3,
            models=MODELS,
            engine=EngineOptions(engine="ray", workers=2, ray_address="auto"),
        )
    ),
    "prompt-difference": scored(
        ScorerOptions(
            scorer="prompt-difference",
            model="m",
            prompts=CHOSEN,
            contrast=("c", "c2"),
            neutral=("n",),
            universal_top=7,
            universal_share=0.5,
            skip_last_layers=2,
            seed=3,
            models=MODELS,
        )
    ),
    "wanda": scored(ScorerOptions(scorer="wanda", model="m", prompts=PROMPTS, contrast=("c",), utility_share=0.1)),
    "safety-specific": scored(
        ScorerOptions(scorer="safety-specific", model="m", prompts=PROMPTS, specific_share=0.2, skip_last_layers=0)
    ),
    "patch": config(
        PatchOptions(
            recipient="a", donor="b", neurons=("safety:5%",), prompts=PROMPTS, judging=JudgingOptions(("refusal",))
        )
    ),
    "patch-all": config(
        PatchOptions(
            recipient="a",
            neurons=("x", "y"),
            prompts=CHOSEN,
            judging=JudgingOptions(("j",), judge_signs=("cost", "j=reward"), rubric=Path("a rubric.txt")),
            mode="scale:-0.5",
            steps="completion",
            first=4,
            sweep=("1%", "5%"),
            random=3,
            random_anywhere=2,
            sampling=SamplingOptions(temperature=0.7, top_p=0.9, samples=5),
            trace=False,
            drafts=True,
            writing=WritingOptions(max_new_tokens=9, batch_size=16),
            seed=11,
            allow_overlap=True,
            models=MODELS,
        )
    ),
    "tax": config(TAX.patching("safety", "helpful")),
    "perplexity": read(
        PerplexityOptions(subject=SubjectOptions(model="m"), text=TextOptions(text=("t.txt",))), 1024, 512
    ),
    "perplexity-all": read(
        PerplexityOptions(
            subject=SubjectOptions(neurons=("x:5%", "y"), sweep=("1%",), **SUBJECT),
            text=TextOptions(text=("t", "u"), text_column="body", where="a = 1", sample=3, limit=2),
            window=64,
            stride=16,
        ),
        64,
        16,
    ),
    "lm-eval": LmEvalOptions(subject=SubjectOptions(model="m"), tasks=("gsm8k",)).config(),
    "lm-eval-all": LmEvalOptions(
        subject=SubjectOptions(neurons=("x:5%",), **SUBJECT),
        tasks=("b", "a", "b"),
        num_fewshot=3,
        limit=10,
        chat_template=True,
        include_path=Path("tasks"),
        patched_only=True,
    ).config(),
    "divergence": screened(DivergenceOptions()),
    "divergence-all": screened(
        DivergenceOptions(
            completions="p1",
            neurons=("x:5%",),
            recipient="r2",
            donor="d2",
            mode="mean:x",
            sweep=("1%",),
            random=2,
            seed=4,
            models=MODELS,
        )
    ),
    "lens": LensOptions(neurons="safety:20", model="m").config(),
    "lens-all": LENS.config(),
    "guard": GuardOptions(model="m", neurons="x:5%", prompts=PROMPTS, benign=("b",), judge="j").config(),
    "guard-all": GuardOptions(
        model="m",
        neurons="x:5%",
        prompts=CHOSEN,
        benign=("b1", "b2"),
        judge="j",
        from_run="r",
        threshold=0.5,
        refuse_from=0.7,
        plain=True,
        sizes=("1%", "10"),
        random=3,
        writing=WritingOptions(max_new_tokens=9, batch_size=4),
        seed=2,
        allow_overlap=True,
        out=Path("o"),
        models=MODELS,
    ).config(),
    "guard-from-run": GuardOptions(model="m", neurons="x:5%", from_run="run").config(),
    "guard-test": config_of(GuardTestOptions(prompts=PROMPTS, benign=("b",)), GUARD),
    "guard-test-all": config_of(
        GuardTestOptions(
            prompts=PromptOptions(
                ("p",), prompt_column="goal", limit=5, sample=7, where="a = 1", disjoint_from=("old",)
            ),
            benign=("b",),
            judge="j",
            run="as",
            costs=True,
            after="af",
            model="m2",
            max_new_tokens=9,
            batch_size=4,
            seed=3,
            allow_overlap=True,
            models=MODELS,
        ),
        GUARD,
    ),
    "sft": SftOptions(model="m", data=("d",)).settings(),
    "dpo-all": DpoOptions(
        model="m",
        data=("d", "e"),
        template="tulu",
        where="a = 1",
        sample=3,
        limit=2,
        held_out=5,
        epochs=1.5,
        max_steps=7,
        learning_rate=1e-4,
        batch=12,
        micro_batch=3,
        weight_decay=0.2,
        schedule="linear",
        warmup=0.1,
        max_length=99,
        beta=0.3,
        seed=4,
        target="down",
        gradient_checkpointing=True,
        models=LoadOptions(dtype="bfloat16", device="cpu", trust_remote_code=True, attn_implementation="eager"),
    ).settings(),
}
STORED: dict[str, dict[str, Any]] = json.loads(Path(__file__).with_name("stored_configs.json").read_text("utf-8"))


@pytest.mark.parametrize("kind", STORED)
def test_configurations_are_those_of_earlier_versions(kind: str) -> None:
    assert json.dumps(FOUND[kind], sort_keys=True) == json.dumps(STORED[kind], sort_keys=True)


def test_names_made_of_settings_are_those_of_earlier_versions() -> None:
    assert name_of(LensOptions(neurons="safety:20", model="m")) == "lens-6745bb03"
    assert name_of(LENS) == "lens-cd3148ab"
