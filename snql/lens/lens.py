"""``snql lens``: the value vectors of a set of neurons, as a run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
import torch

from snql.db import lens as stored
from snql.db import runs, scripts
from snql.db.connection import Database
from snql.errors import InputError
from snql.jobs.begin import Beginning, Readers, tokenize
from snql.jobs.inputs import PromptInputs, day_of, read_inputs
from snql.jobs.run import Announce, Loaded, run_job
from snql.jobs.work import Done, Job
from snql.lens.direction import Array, cosines, mean_streams
from snql.lens.options import LensOptions
from snql.lens.path import OutputPath, output_path, written
from snql.lens.tokens import top_tokens
from snql.models.load import load_models
from snql.models.loaded import LoadedModel
from snql.models.values import value_vectors
from snql.neurons.sets import NeuronSet
from snql.progress import ProgressCallback, silent
from snql.prompts.read import PromptSets
from snql.prompts.types import Prompt
from snql.rankings.evaluate import Evaluator
from snql.writing.html import table


@dataclass(frozen=True)
class LensResult:
    """vectors: rows of ``value_vectors`` in order of layer and neuron, with ``promotes`` and ``suppresses``, lists of
    tokens, the most extreme first."""

    run: str
    vectors: pl.DataFrame

    def _repr_html_(self) -> str:
        return table(self.vectors, title=f"lens run {self.run}")


def lens(
    db: Database,
    name: str,
    options: LensOptions,
    *,
    resume: bool = False,
    force: bool = False,
    progress: ProgressCallback = silent,
) -> LensResult:
    """Read the value vectors of a set of neurons and store them as lens run ``name``.

    Raises InputError before anything is written for bad input, ModelError for a model whose path to the logits is not
    known. Layers are committed as they are done: a run that was cut off goes on with ``resume``.
    """

    def load(announce: Announce) -> Loaded:
        day = day_of(db, new, resume=resume)
        read = {
            role: read_inputs(db, source, options.seed, day, progress=progress)
            for role, source in options.sources.items()
        }
        announce()
        model = load_models({"before": options.model}, options.models)["before"]
        base = model.base
        if options.layer is not None and not 0 <= options.layer < base.n_layers:
            raise InputError(f"`layer` {options.layer} is no layer of {options.model!r}: use 0 to {base.n_layers - 1}")
        members = Evaluator(db, model.shape).evaluate(options.neurons)
        if not len(members):
            raise InputError(
                f"neuron expression {options.neurons!r} names no neuron: use larger sets, or | in place of &"
            )
        path = output_path(model)
        readers = Readers.of({"recipient": model}, options.models)
        given = {role: tokenize(inputs, readers, 0, progress) for role, inputs in read.items()}
        prompts = {role: each.prompts for role, each in given.items()}
        joined = _joined([each.read for each in given.values()])
        beginning = Beginning.of({"recipient": model}, _distinct(prompts), read=joined)
        return Loaded(beginning, lambda job: _work(job, model, path, members, options, prompts))

    new = runs.NewRun("lens", name, options.config(), options.seed)
    return run_job(db, new, load, lambda _: read_lens(db, name), resume=resume, force=force, progress=progress)


def read_lens(db: Database, run: str) -> LensResult:
    """What a finished lens run found."""
    vectors = db.frame(scripts.query("lens_vectors"), {"run": run})
    return LensResult(run, vectors)


def _distinct(prompts: Mapping[str, list[Prompt]]) -> list[Prompt]:
    """Both sets; raises InputError if they share a prompt."""
    both = [prompt for each in prompts.values() for prompt in each]
    if len({(prompt.dataset, prompt.sha256) for prompt in both}) < len(both):
        raise InputError("a prompt is in `harmful` and in `harmless`: a direction needs different ones")
    return both


def _joined(read: Sequence[PromptInputs]) -> PromptInputs | None:
    if not read:
        return None
    sets = [inputs.sets for inputs in read]
    joined = PromptSets(
        [prompt for each in sets for prompt in each.prompts],
        [counts for each in sets for counts in each.counts],
        tuple(note for each in sets for note in each.notes),
    )
    return replace(read[0], sets=joined)


def _directions(job: Job, model: LoadedModel, prompts: Mapping[str, list[Prompt]]) -> Array | None:
    """The refusal direction after each layer: Float64["layers hidden"]; None without prompts."""
    if not prompts:
        return None
    watch = job.watch("direction", 0, sum(map(len, prompts.values())), "prompts")

    def read(n_prompts: int) -> None:
        watch.advance(n_prompts, 0)
        job.stop.here()

    harmful, harmless = (
        mean_streams(model, [prompt.input_ids for prompt in prompts[role]], read) for role in ("harmful", "harmless")
    )
    return harmful - harmless


def _work(
    job: Job,
    model: LoadedModel,
    path: OutputPath,
    members: NeuronSet,
    options: LensOptions,
    prompts: Mapping[str, list[Prompt]],
) -> None:
    directions = _directions(job, model, prompts)
    done = stored.written_layers(job.db, job.run_id)
    layers = [layer for layer in range(model.shape.n_layers) if (members.layers == layer).any()]
    if directions is not None:
        rows = [
            (layer, len(prompts["harmful"]), len(prompts["harmless"]), float(np.linalg.norm(directions[layer])))
            for layer in ([options.layer] if options.layer is not None else layers)
        ]
        job.store(stored.write_directions, pl.DataFrame(rows, schema=stored.DIRECTIONS, orient="row"))
    found = (
        Done([_layer(model, path, members, layer, directions, options)], 1) for layer in layers if layer not in done
    )
    watch = job.watch("lens", len(done), len(layers), "layers")
    job.work_through(watch, found, lambda found: job.store(stored.write_layers, found))


def _layer(
    model: LoadedModel,
    path: OutputPath,
    members: NeuronSet,
    layer: int,
    directions: Array | None,
    options: LensOptions,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows of the set's neurons in one layer."""
    shape = model.shape
    ids = members.ids[members.layers == layer] - layer * shape.n_neurons
    chosen = value_vectors(model, layer, torch.from_numpy(ids))
    at = layer if options.layer is None else options.layer
    cosine, percentile = None, None
    if directions is not None:
        every = cosines(written(model, layer, value_vectors(model, layer)), directions[at])
        cosine = every[ids]
        percentile = 100 * np.searchsorted(np.sort(every), cosine, side="left") / len(every)
    experts = ids // shape.per_expert if shape.routed else None
    places = {
        "layer": np.full(len(ids), layer),
        "expert": pl.Series(experts, dtype=pl.Int16) if experts is not None else pl.repeat(None, len(ids), eager=True),
        "neuron": ids % shape.per_expert,
    }
    vectors = pl.DataFrame(
        {
            **places,
            "norm": chosen.double().norm(dim=0).cpu().numpy(),
            "width": np.full(len(ids), chosen.shape[0]),
            "direction_layer": np.full(len(ids), at) if directions is not None else None,
            "refusal_cosine": cosine,
            "refusal_percentile": percentile,
        }
    ).cast(stored.VECTORS)  # type: ignore[arg-type]
    return vectors, _tokens(model, path, written(model, layer, chosen), places, options.top)


def _tokens(
    model: LoadedModel, path: OutputPath, vectors: torch.Tensor, places: Mapping[str, object], top: int
) -> pl.DataFrame:
    frames = []
    for promoted, found in zip((True, False), top_tokens(path, vectors, top), strict=True):
        n_neurons, n_tokens = found.ids.shape
        frame = pl.DataFrame(places).select(pl.all().repeat_by(n_tokens).explode())
        frames.append(
            frame.with_columns(
                promoted=pl.lit(promoted),
                place=pl.Series(np.tile(np.arange(1, n_tokens + 1), n_neurons)),
                token_id=pl.Series(found.ids.ravel()),
                logit=pl.Series(found.logits.ravel()),
            )
        )
    rows = pl.concat(frames)
    names = {token_id: model.text((token_id,), special=True) for token_id in rows["token_id"].unique()}
    token = pl.col("token_id").replace_strict(names, return_dtype=pl.String).alias("token")
    return rows.with_columns(token).select(list(stored.TOKENS)).cast(stored.TOKENS)  # type: ignore[arg-type]
