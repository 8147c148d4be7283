"""The engine that the options name."""

from contextlib import AbstractContextManager

from snql.engines.base import Engine, WorkOrder
from snql.engines.local import local_engine
from snql.engines.on_ray import ray_engine
from snql.engines.options import EngineOptions


def start_engine(options: EngineOptions, order: WorkOrder) -> AbstractContextManager[Engine]:
    """Load the models where the options say; they are given up at the end of the block.

    Raises ModelError for models that cannot be used, InputError if Ray is not installed or not reached.
    """
    return local_engine(order) if options.engine == "local" else ray_engine(options, order)
