"""The models in this process."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from transformers import PreTrainedTokenizerBase

from snql.contrast.options import ROLES
from snql.contrast.tokens import Layout
from snql.contrast.worker import Collected, CollectTask, ContrastResult, ContrastTask, Worker
from snql.engines.base import EngineInfo, WorkOrder
from snql.generation.budget import writing_tokens
from snql.generation.decode import Tick
from snql.jobs.begin import describe_model
from snql.models.context import shortest
from snql.models.load import load_models
from snql.models.loaded import LoadedModel


class LocalEngine:
    """One worker, asked in turn."""

    def __init__(self, order: WorkOrder) -> None:
        models = load_models(order.specs, order.load, order.dtypes, own_template=order.own_template)
        self._worker = Worker(models, order.settings)
        self.info = describe(models)
        self.tokenizer: PreTrainedTokenizerBase = models["before"].base.tokenizer

    def contrast(self, tasks: Iterable[ContrastTask], tick: Tick) -> Iterator[ContrastResult]:
        return (self._worker.contrast(task, tick) for task in tasks)

    def collect(self, tasks: Iterable[CollectTask], layout: Layout) -> Iterator[Collected]:
        return (self._worker.collect(task, layout) for task in tasks)


@contextmanager
def local_engine(order: WorkOrder) -> Iterator[LocalEngine]:
    """Load the models here."""
    yield LocalEngine(order)


def describe(models: Mapping[str, LoadedModel]) -> EngineInfo:
    """What a job must know of loaded models."""
    base = models["before"].base
    return EngineInfo(
        models={role: describe_model(model) for role, model in models.items()},
        shape=models["before"].shape,
        context=shortest(model.base.context for model in models.values()),
        n_embeddings=min(model.base.n_embeddings for model in models.values()),
        end_ids=base.end_ids,
        device=str(base.device),
        dtype="/".join(dict.fromkeys(model.base.dtype_name for role, model in models.items() if role in ROLES)),
        writing_tokens=min(writing_tokens(model) for model in models.values()),
    )
