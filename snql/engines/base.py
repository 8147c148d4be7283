"""What a job asks of whoever holds the models."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from transformers import PreTrainedTokenizerBase

from snql.contrast.tokens import Layout
from snql.contrast.worker import Collected, CollectTask, ContrastResult, ContrastSettings, ContrastTask
from snql.db.records import ModelRecord
from snql.generation.decode import Tick
from snql.models.context import Context
from snql.models.options import LoadOptions
from snql.neurons.sets import Shape


@dataclass(frozen=True)
class EngineInfo:
    """What the models turned out to be, free of their weights. writing_tokens: see :mod:`snql.generation.budget`."""

    models: Mapping[str, ModelRecord]
    shape: Shape
    context: Context | None
    n_embeddings: int
    end_ids: frozenset[int]
    device: str
    dtype: str
    writing_tokens: int


@dataclass(frozen=True)
class WorkOrder:
    """What a worker is made from: model specs by role, how to load them, and the run's settings.

    after_dtype: the number type of the model after; None: as all. own_template: see ``load_models``.
    """

    specs: Mapping[str, str]
    load: LoadOptions
    settings: ContrastSettings
    after_dtype: str | None = None
    own_template: bool = True

    @property
    def dtypes(self) -> dict[str, str]:
        """Number types of models that are not loaded in the common one, by role."""
        return {} if self.after_dtype is None else {"after": self.after_dtype}


class Engine(Protocol):
    """Runs batches. Results come in the order of the tasks, whoever was done first."""

    @property
    def info(self) -> EngineInfo: ...

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase: ...

    def contrast(self, tasks: Iterable[ContrastTask], tick: Tick) -> Iterator[ContrastResult]:
        """Contrast batch by batch; ``tick`` may be called with tokens as they are written."""

    def collect(self, tasks: Iterable[CollectTask], layout: Layout) -> Iterator[Collected]:
        """Collect token-level activations batch by batch."""
