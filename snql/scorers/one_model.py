"""Scorers of one model: what its neurons do while it reads prompts. No text is written.

- ``prompt-difference``: |mean over prompts - mean over contrast prompts| at the last prompt token, without universal
  neurons: those that are among the ``universal_top`` largest activations (in size) of their layer for at least
  ``universal_share`` of the neutral prompts, at the same position (arXiv 2605.12290).
- ``wanda``: ||W_down[:, n]||_2 * ||a_n||_2, a_n the activations at all tokens of the prompts: the score
  |W_ij| * ||X_j|| of arXiv 2402.05162 for a whole column of the down-projection. Neurons that are in the top
  ``utility_share`` by the same importance on the contrast (utility) prompts are left out: the set difference.
- ``safety-specific``: ||W_down[:, n]||_2 times the mean over prompts of ||h_n||_2 over the prompt's tokens, of neurons
  that are in the top ``specific_share`` of this on *every* prompt (OpenReview yR47RmND1m, without its threshold).

Neurons that are left out keep their scores and have no rank.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import polars as pl

from snql.contrast.noise import equal_scores_note, relative_differences, rounding_note
from snql.contrast.scorers import Array
from snql.db import runs
from snql.db.connection import Database
from snql.db.scores import statistics_frame, write_statistics
from snql.errors import InputError, ModelError, RunError
from snql.generation.batch import by_tokens
from snql.generation.budget import reading_tokens
from snql.jobs.begin import Beginning, Readers, tokenize
from snql.jobs.inputs import day_of, read_inputs
from snql.jobs.run import Announce, Last, Loaded, run_job
from snql.jobs.work import Job
from snql.models.load import load_models
from snql.models.loaded import LoadedModel
from snql.options import words
from snql.progress import ProgressCallback, silent
from snql.prompts.options import PromptOptions
from snql.prompts.types import Prompt
from snql.scorers.options import ScorerOptions
from snql.scorers.reading import PromptStatistics, Settings, column_norms, read_prompts
from snql.scorers.rerank import RankedRun, ranked_run

Dropped = npt.NDArray[np.bool_]


def score_prompts(
    db: Database,
    name: str,
    options: ScorerOptions,
    *,
    resume: bool = False,
    force: bool = False,
    progress: ProgressCallback = silent,
) -> RankedRun:
    """Rank the neurons of one model by what they do on prompts, as locate run ``name``.

    Raises InputError before anything is written for bad input. Nothing is committed until all prompts are read: a run
    that was cut off begins anew with ``resume``.
    """
    config = options.config() | {"command": ["snql", "locate", name, *words(options)]}
    new = runs.NewRun("locate", name, config, options.seed)

    def load(announce: Announce) -> Loaded:
        day = day_of(db, new, resume=resume)
        read = {
            role: read_inputs(db, source, options.seed, day, progress=progress)
            for role, source in _sources(options).items()
        }
        announce()
        model = load_models({"before": options.model}, options.models)["before"]
        _check_model(model, options)
        both = {"before": model, "after": model}
        readers = Readers.of(both, options.models)
        given = {role: tokenize(inputs, readers, 0, progress) for role, inputs in read.items()}
        sets = {role: each.prompts for role, each in given.items()}
        notes = [note for each in given.values() for note in each.read.sets.notes]
        weights = _weights(model, options)

        def work(job: Job) -> Last:
            found = _read_all(job, model, sets, options, weights)
            statistics = _statistics(model, found, options, weights)
            if (note := _noise(model, found, options) or equal_scores_note(statistics)) is not None:
                job.note(note)
            return lambda connection: write_statistics(connection, job.run_id, statistics)

        return Loaded(Beginning.of(both, sets["prompts"], read=given["prompts"].read, notes=notes), work)

    return run_job(
        db, new, load, lambda _: ranked_run(db, name, options.scorer), resume=resume, force=force, progress=progress
    )


def _sources(options: ScorerOptions) -> dict[str, PromptOptions]:
    """The prompt sets by what they are for."""
    others = (("contrast", options.contrast), ("neutral", options.neutral))
    return {"prompts": options.prompts} | {
        role: replace(options.prompts, prompts=files, prompt_column=None, where=None) for role, files in others if files
    }


def _check_model(model: LoadedModel, options: ScorerOptions) -> None:
    shape = model.shape
    if shape.routed:
        raise ModelError(f"model {options.model!r} mixes experts: scorers of one model read dense models only")
    if options.skip_last_layers >= shape.n_layers:
        raise InputError(f"`skip_last_layers` {options.skip_last_layers} leaves none of {shape.n_layers} layers")


def _weights(model: LoadedModel, options: ScorerOptions) -> Array:
    """What a neuron's activation counts, by layer and neuron: the norm of its value vector, or 1."""
    if options.scorer == "prompt-difference":
        return np.ones((model.shape.n_layers, model.shape.n_neurons))
    return column_norms(model)


def _read_all(
    job: Job, model: LoadedModel, sets: Mapping[str, Sequence[Prompt]], options: ScorerOptions, weights: Array
) -> dict[str, PromptStatistics]:
    """The statistics of each set, batch by batch."""
    watch = job.watch("score", 0, sum(len(prompts) for prompts in sets.values()), "prompts")
    found = {}
    for role, prompts in sets.items():
        settings = _settings(model, role, options)
        statistics = PromptStatistics.empty(model.shape.n_layers, model.shape.n_neurons)
        for batch in _batches(model, prompts):
            read_prompts(model, [prompt.input_ids for prompt in batch], settings, weights, statistics)
            watch.advance(len(batch), sum(len(prompt.input_ids) for prompt in batch))
            job.stop.here()
        statistics.check()
        found[role] = statistics
    return found


def _batches(model: LoadedModel, prompts: Sequence[Prompt]) -> Iterator[list[Prompt]]:
    lengths = [len(prompt.input_ids) for prompt in prompts]
    for members in by_tokens(lengths, reading_tokens(model)):
        yield [prompts[member] for member in members]


def _settings(model: LoadedModel, role: str, options: ScorerOptions) -> Settings:
    """What is read of a set, and whether neurons are counted that are at the top for a prompt."""
    n_layers = model.shape.n_layers - options.skip_last_layers
    if options.scorer == "prompt-difference":
        return Settings(True, "layer" if role == "neutral" else None, options.universal_top, n_layers)
    if options.scorer == "safety-specific":
        most = max(1, round(options.specific_share * n_layers * model.shape.n_neurons))
        return Settings(False, "model", most, n_layers)
    return Settings(False, None, 0, n_layers)


def _noise(model: LoadedModel, found: Mapping[str, PromptStatistics], options: ScorerOptions) -> str | None:
    """What is to be said of two sets of prompts on which the model does the same."""
    if options.scorer != "prompt-difference" or "contrast" not in found:
        return None
    prompts, contrast = found["prompts"], found["contrast"]
    sizes = np.maximum(prompts.mean_square, contrast.mean_square)
    differences = relative_differences(np.abs(prompts.mean - contrast.mean), sizes)
    return rounding_note(differences, [model.base.dtype_name], "mean activations on both sets of prompts")


def _statistics(
    model: LoadedModel, found: Mapping[str, PromptStatistics], options: ScorerOptions, weights: Array
) -> pl.DataFrame:
    """Scores and ranks: ``before`` are the contrast prompts, ``after`` the prompts."""
    prompts, contrast = found["prompts"], found.get("contrast")
    nothing = np.full(prompts.mean.shape, np.nan)
    mean_before = nothing if contrast is None else contrast.mean
    columns = {
        "mean_before": mean_before,
        "mean_after": prompts.mean,
        "std_before": nothing if contrast is None else contrast.std,
        "std_after": prompts.std,
        "mean_difference": prompts.mean - mean_before,
    }
    scores, dropped = _SCORES[options.scorer](found, options, weights)
    n_ranked_layers = model.shape.n_layers - options.skip_last_layers
    if dropped[:n_ranked_layers].all():
        raise RunError(
            f"no neuron is left by scorer {options.scorer}: raise `specific_share`, lower `utility_share`, or raise "
            "`universal_share`"
        )
    return statistics_frame(
        model.shape, scores, columns, np.full(scores.shape, prompts.count), n_ranked_layers, dropped
    )


def _difference(found: Mapping[str, PromptStatistics], options: ScorerOptions, _: Array) -> tuple[Array, Dropped]:
    prompts, neutral = found["prompts"], found.get("neutral")
    universal = np.zeros(prompts.mean.shape, dtype=bool)
    if neutral is not None:
        universal = neutral.at_top >= options.universal_share * neutral.n_prompts
    return np.abs(prompts.mean - found["contrast"].mean), universal


def _wanda(found: Mapping[str, PromptStatistics], options: ScorerOptions, weights: Array) -> tuple[Array, Dropped]:
    scores, contrast = weights * found["prompts"].norm, found.get("contrast")
    none = np.zeros(scores.shape, dtype=bool)
    return scores, none if contrast is None else _top(weights * contrast.norm, options)


def _specific(found: Mapping[str, PromptStatistics], _: ScorerOptions, weights: Array) -> tuple[Array, Dropped]:
    prompts = found["prompts"]
    return prompts.mean_norm * weights, prompts.at_top < prompts.n_prompts


_SCORES = {"prompt-difference": _difference, "wanda": _wanda, "safety-specific": _specific}
"""Scores of all neurons, and which of them are left out of the ranking, by scorer."""


def _top(scores: Array, options: ScorerOptions) -> Dropped:
    """Whether a neuron is in the top ``utility_share`` of the ranked layers; equal scores in order of the neurons."""
    n_ranked = (scores.shape[0] - options.skip_last_layers) * scores.shape[1]
    order = np.argsort(-scores.ravel()[:n_ranked], kind="stable")[: max(1, round(options.utility_share * n_ranked))]
    chosen = np.zeros(scores.size, dtype=bool)
    chosen[order] = True
    return chosen.reshape(scores.shape)
