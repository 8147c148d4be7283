"""Where a run's models are."""

from dataclasses import dataclass
from typing import Annotated

from typing_extensions import Doc

from snql.errors import InputError
from snql.options import Aside, Rare

ENGINES = ("local", "ray")


@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """Where a run's models are: in this process, or with Ray workers that each hold them."""

    engine: Annotated[str, Doc("local (this process) or ray (extra: ray)."), Aside(), Rare()] = "local"
    workers: Annotated[int, Doc("Ray workers; each one holds the models."), Aside(), Rare()] = 1
    ray_address: Annotated[
        str | None, Doc("Join this Ray cluster (auto or HOST:PORT); else one is started."), Aside(), Rare()
    ] = None

    def __post_init__(self) -> None:
        if self.engine not in ENGINES:
            raise InputError(f"`engine` {self.engine!r} is not known: use {' or '.join(ENGINES)}")
        if self.workers < 1:
            raise InputError(f"`workers` {self.workers} is too few: use at least 1")
        if self.engine == "local" and (self.workers > 1 or self.ray_address is not None):
            raise InputError("`workers` and `ray_address` need `engine` ray: the local engine is one process")
