"""The models with workers on a Ray cluster: actors that each load them and run the same shard function.

An actor that dies is started again by Ray, which also gives it its task again; a batch's result does not depend on who
computed it, so the run's numbers stay the same.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import cycle
from typing import Any, TypeVar

import torch
from transformers import PreTrainedTokenizerBase

from snql.contrast.tokens import Layout
from snql.contrast.worker import Collected, CollectTask, ContrastResult, ContrastTask
from snql.distribution import install
from snql.engines.actor import RayWorker
from snql.engines.base import EngineInfo, WorkOrder
from snql.engines.options import EngineOptions
from snql.errors import InputError, RunError, SnqlError
from snql.generation.decode import Tick
from snql.models.tokenizer import load_tokenizer

_RETRIES = 3
_AHEAD = 2
"""Tasks that wait for each worker, so that none is idle while results are committed."""

Task = TypeVar("Task", ContrastTask, CollectTask)


class RayEngine:
    """Workers on a cluster; results in the order of the tasks."""

    def __init__(self, ray: Any, options: EngineOptions, order: WorkOrder) -> None:
        self._ray = ray
        resources = _resources(ray, options.workers, order)
        actor = ray.remote(max_restarts=_RETRIES, max_task_retries=_RETRIES, **resources)(RayWorker)
        self.workers = [actor.remote(order, torch.get_num_threads()) for _ in range(options.workers)]
        infos = [self._get(worker.info.remote()) for worker in self.workers]
        self.info: EngineInfo = infos[0]
        for info in infos[1:]:
            self._check_same(info)
        self.tokenizer: PreTrainedTokenizerBase = load_tokenizer(
            order.specs["before"], trust_remote_code=order.load.trust_remote_code
        )

    def contrast(self, tasks: Iterable[ContrastTask], tick: Tick) -> Iterator[ContrastResult]:  # noqa: ARG002
        return self._in_order(tasks, lambda worker, task: worker.contrast.remote(task))

    def collect(self, tasks: Iterable[CollectTask], layout: Layout) -> Iterator[Collected]:
        shared = self._ray.put(layout)
        return self._in_order(tasks, lambda worker, task: worker.collect.remote(task, shared))

    def _in_order(self, tasks: Iterable[Task], submit: Callable[[Any, Task], Any]) -> Iterator[Any]:
        """Give tasks out in turn, a few ahead of the result that is waited for."""
        waiting: deque[Any] = deque()
        workers = cycle(self.workers)
        try:
            for task in tasks:
                waiting.append(submit(next(workers), task))
                if len(waiting) >= _AHEAD * len(self.workers):
                    yield self._get(waiting.popleft())
            while waiting:
                yield self._get(waiting.popleft())
        finally:
            for reference in waiting:
                self._ray.cancel(reference)

    def _get(self, reference: Any) -> Any:
        from ray.exceptions import RayActorError, RayTaskError

        try:
            return self._ray.get(reference)
        except RayTaskError as error:
            cause = getattr(error, "cause", None)
            if isinstance(cause, SnqlError):
                raise cause from error
            raise
        except RayActorError as error:
            reason = " ".join(str(error).split())[:300]
            raise RunError(f"a Ray worker died and did not come back ({reason}): go on with `resume`") from error

    def _check_same(self, info: EngineInfo) -> None:
        mine = {role: model.model_id for role, model in self.info.models.items()}
        for role, model in info.models.items():
            if model.model_id != mine[role]:
                raise InputError(
                    f"Ray workers found different files for the {role} model {model.spec}: put the same files on "
                    "every machine of the cluster"
                )
        if (info.device.split(":")[0], info.dtype) != (self.info.device.split(":")[0], self.info.dtype):
            raise InputError("Ray workers have different kinds of devices: name one with `device` and `dtype`")


@contextmanager
def ray_engine(options: EngineOptions, order: WorkOrder) -> Iterator[RayEngine]:
    """Start Ray here, or join the cluster at ``ray_address``, and load the models with each worker."""
    if find_spec("ray") is None:
        raise InputError(f"`engine` ray needs Ray: {install('ray')}")
    import ray

    began = not ray.is_initialized()
    if began:
        try:
            ray.init(
                address=options.ray_address or "local",
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
        except (ConnectionError, ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise InputError(
                f"`ray_address` {options.ray_address}: no cluster there that lets snql in ({reason}): check the "
                "address, and Ray's token (RAY_AUTH_MODE)"
            ) from error
    try:
        engine = RayEngine(ray, options, order)
        try:
            yield engine
        finally:
            for worker in engine.workers:
                ray.kill(worker)
    finally:
        if began:
            ray.shutdown()


def _resources(ray: Any, workers: int, order: WorkOrder) -> dict[str, float]:
    """What each worker takes: a CPU to be placed by and, unless told otherwise, as many GPUs as leave enough for all.

    An actor lives on one node, and Ray waits for ever for resources that no node has. Raises InputError for more
    workers than the cluster has CPUs.
    """
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    cpus = sum(int(node.get("CPU", 0)) for node in nodes)
    if workers > cpus:
        raise InputError(f"`workers` {workers} are more than the cluster's {cpus} CPUs: use at most {cpus}")
    wanted = order.load.device == "auto" or order.load.device.startswith("cuda")
    gpus = [int(node.get("GPU", 0)) for node in nodes] if wanted else []
    for share in range(max(gpus, default=0), 0, -1):
        if sum(count // share for count in gpus) >= workers:
            return {"num_cpus": 1, "num_gpus": share}
    sharing = -(-workers // sum(gpus)) if sum(gpus) else 0
    return {"num_cpus": 1, "num_gpus": 1 / sharing if sharing else 0}
