"""Rows made by hand for the tables of capability runs."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Row = dict[str, Any]

_INTERVALS = {"confidence": 0.95, "resamples": 2000, "seed": 0}
_METRICS = (("acc", "none"), ("exact_match", "strict"), ("exact_match", "none"))


def rows(run_ids: Sequence[int], variants: Mapping[int, str], prompts: Sequence[int]) -> dict[str, list[Row]]:
    """Rows of runs that each stand for one of every kind. Each prompt has two tokens."""
    tables = [_rows(run_id, variants, prompts) for run_id in run_ids]
    return {name: [row for table in tables for row in table[name]] for name in tables[0]}


def _rows(run_id: int, variants: Mapping[int, str], prompts: Sequence[int]) -> dict[str, list[Row]]:
    return {
        "text_windows": list(_windows(run_id, variants, prompts)),
        "text_perplexities": list(_perplexities(run_id, variants)),
        "divergences": list(_divergences(run_id, variants, prompts)),
        "divergence_effects": list(_closings(run_id, variants)),
        "task_results": [
            {
                "run_id": run_id,
                "variant_id": variant,
                "requested": asked,
                "task": task,
                "metric": metric,
                "filter": chosen,
                "value": variant / 8,
                "stderr": 0.125,
                "n_samples": 2,
                "n_shot": 0,
                "task_version": "1.0",
                "higher_is_better": True,
            }
            for variant in variants
            for asked, task in _tasks()
            for metric, chosen in _METRICS
        ],
        "task_samples": [
            {
                "run_id": run_id,
                "variant_id": variant,
                "requested": asked,
                "task": task,
                "doc_id": document,
                "metric": metric,
                "filter": chosen,
                "value": 1.0,
                "target": "yes",
                "response": "<b>no</b>",
            }
            for variant in variants
            for asked, task in _tasks()
            for document in (0, 1)
            for metric, chosen in _METRICS
        ],
    }


def _tasks() -> list[tuple[str, str]]:
    """Names that were asked for, and tasks: one of them is asked for alone and with its group."""
    return [("group", "one"), ("group", "two"), ("one", "one")]


def _windows(run_id: int, variants: Mapping[int, str], prompts: Sequence[int]) -> Iterator[Row]:
    for variant in variants:
        for prompt in prompts:
            for window in (0, 1):
                nlls = [variant / 4, 0.5] if window else [1.0]
                yield {
                    "run_id": run_id,
                    "variant_id": variant,
                    "prompt_id": prompt,
                    "window_index": window,
                    "first_position": 1 + window,
                    "n_context": 1,
                    "n_tokens": len(nlls),
                    "nll": sum(nlls),
                    "nlls": nlls,
                }


def _perplexities(run_id: int, variants: Mapping[int, str]) -> Iterator[Row]:
    for variant in variants:
        for dataset in ("harm", "*"):
            yield {
                "run_id": run_id,
                "variant_id": variant,
                "dataset": dataset,
                "n_documents": 2,
                "n_windows": 4,
                "n_tokens": 6,
                "nll": 1.0,
                "perplexity": 2.75,
                "ci_low": 2.5,
                "ci_high": 3.0,
                "ratio": 1 + variant / 8,
                "ratio_ci_low": 1.0,
                "ratio_ci_high": 2.0,
                "unit": "document",
                **_INTERVALS,
            }


def _divergences(run_id: int, variants: Mapping[int, str], prompts: Sequence[int]) -> Iterator[Row]:
    for variant in variants:
        for prompt in prompts if variant != 1 else ():
            for sample in (0, 1):
                yield {
                    "run_id": run_id,
                    "variant_id": variant,
                    "prompt_id": prompt,
                    "sample": sample,
                    "n_tokens": 2,
                    "kl": variant / 4 + 0.5,
                    "n_agreeing": 1,
                    "kls": [variant / 4, 0.5],
                    "agrees": [True, False],
                }


def _closings(run_id: int, variants: Mapping[int, str]) -> Iterator[Row]:
    for variant in variants:
        for dataset in ("harm", "*") if variant > 1 else ():
            ends = {
                f"{name}_ci_{end}": 0.5
                for name in ("kl_recipient", "kl_patched", "controls_difference")
                for end in ("low", "high")
            }
            yield {
                "run_id": run_id,
                "variant_id": variant,
                "dataset": dataset,
                "n_prompts": 2,
                "n_tokens": 8,
                "kl_recipient": 1.0,
                "kl_patched": 1 - variant / 8,
                "closed": variant / 8,
                "ci_low": 0.0,
                "ci_high": 1.0,
                "agreement_recipient": 0.5,
                "agreement_patched": 0.75,
                "control_kind": "matched",
                "n_controls": 1,
                "controls_closed": 0.0,
                "controls_difference": variant / 8,
                **ends,
                **_INTERVALS,
            }
