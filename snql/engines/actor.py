"""What a Ray actor runs. Imports nothing at the top: Ray keeps this class, and all its module refers to, for good."""

from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from snql.contrast.tokens import Layout
    from snql.contrast.worker import Collected, CollectTask, ContrastResult, ContrastTask, Worker
    from snql.engines.base import EngineInfo, WorkOrder
    from snql.models.loaded import LoadedModel


class RayWorker:
    """The models of a run and the shard function, in a process of Ray's."""

    def __init__(self, order: "WorkOrder", threads: int) -> None:
        """``threads``: as many as the local engine would use, for sums of products depend on how they are divided."""
        import torch

        torch.set_num_threads(threads)
        self._order = order

    def info(self) -> "EngineInfo":
        """What the models turned out to be."""
        from snql.engines.local import describe

        return describe(self._models)

    # When they are first used, not when the actor is made: what a constructor raises, Ray takes for a crash.
    @cached_property
    def _models(self) -> "dict[str, LoadedModel]":
        from snql.models.load import load_models

        order = self._order
        return load_models(order.specs, order.load, order.dtypes, own_template=order.own_template)

    @cached_property
    def _worker(self) -> "Worker":
        from snql.contrast.worker import Worker

        return Worker(self._models, self._order.settings)

    def contrast(self, task: "ContrastTask") -> "ContrastResult":
        """See :meth:`snql.contrast.worker.Worker.contrast`."""
        return self._worker.contrast(task)

    def collect(self, task: "CollectTask", layout: "Layout") -> "Collected":
        """See :meth:`snql.contrast.worker.Worker.collect`."""
        return self._worker.collect(task, layout)
