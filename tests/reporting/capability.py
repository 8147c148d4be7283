"""Perplexity and lm-eval runs made by hand."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .conftest import Builder


def capability(
    builder: "Builder", name: str, texts: Sequence[str] = ("essays",), *, source: str = "safety", **config: object
) -> int:
    """Insert a perplexity run and ``NAME-tasks``, an lm-eval run: recipient, donor, 5% of ``source``, a control."""
    neurons = f"{source}:5%"
    base = {"model": "demo:sft", "donor": "demo:safety", "neurons": [neurons], "mode": "donor", "seed": 0} | config
    run_ids = [builder.run(f"{name}{end}", kind, base) for end, kind in (("", "perplexity"), ("-tasks", "lm-eval"))]
    for run_id in run_ids:
        builder.variant(run_id, 0, "recipient", "recipient")
        builder.variant(run_id, 1, "donor", "donor")
        builder.variant(run_id, 2, "patched", neurons, neurons=neurons, n_neurons=50, fraction=0.05)
        control = {"neurons": f"random({neurons}, seed=1)", "n_neurons": 50, "control_of": 2, "control_seed": 1}
        builder.variant(run_id, 3, "patched", f"random({neurons}, seed=1)", **control)
    places = [*texts, "*"] if len(texts) > 1 else list(texts)
    for variant in range(4):
        for place in places:
            builder.connection.execute(
                "INSERT INTO text_perplexities BY NAME SELECT ? AS run_id, ? AS variant_id, ? AS dataset,"
                " 2 AS n_documents, 4 AS n_windows, 1234 AS n_tokens, 3.0 AS nll, ? AS perplexity, ? AS ci_low,"
                " ? AS ci_high, ? AS ratio, ? AS ratio_ci_low, ? AS ratio_ci_high, 'document' AS unit,"
                " 0.95 AS confidence, 2000 AS resamples, 7 AS seed",
                [
                    run_ids[0],
                    variant,
                    place,
                    *(20 + variant + d for d in (0, -2, 3)),
                    *(1 + variant / 20 + d for d in (0, -0.01, 0.02)),
                ],
            )
        for task, metric in (("gsm8k", "exact_match"), ("mmlu", "acc")):
            builder.connection.execute(
                "INSERT INTO task_results BY NAME SELECT ? AS run_id, ? AS variant_id, ? AS requested, ? AS task,"
                " ? AS metric, 'none' AS filter, ? AS value, 0.0125 AS stderr, 200 AS n_samples, 0 AS n_shot,"
                " '1.0' AS task_version, true AS higher_is_better",
                [run_ids[1], variant, task, task, metric, 0.5 - variant / 100],
            )
    return run_ids[0]
