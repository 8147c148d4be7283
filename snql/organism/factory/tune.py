"""The aligned models: IA3 vectors by snql's own training, which is TRL's (extra `train`)."""

from __future__ import annotations

import tempfile
from pathlib import Path

from torch import Tensor

from snql.models.options import LoadOptions
from snql.organism.factory.corpus import Row, write_rows
from snql.organism.factory.model import load_scales
from snql.organism.factory.pretrain import Loop, Progress
from snql.training.options import DpoOptions, SftOptions
from snql.training.run import train


def tune(model: str, rows: list[Row], loop: Loop, seed: int, progress: Progress) -> Tensor:
    """New vectors (layers x neurons) on a model by its spec: SFT for rows with ``messages``, DPO for preferences.

    Every row is read once. Weight decay is 0: it would pull the vectors to 0, not to 1.
    """
    options = SftOptions if "messages" in rows[0] else DpoOptions
    with tempfile.TemporaryDirectory() as folder:
        data, out = Path(folder) / "data.jsonl.gz", Path(folder) / "adapter"
        write_rows(data, rows)
        train(
            out,
            options(
                model=model,
                data=(str(data),),
                held_out=0,
                epochs=1.0,
                learning_rate=loop.rate,
                batch=loop.batch,
                micro_batch=loop.batch,
                weight_decay=0.0,
                beta=loop.beta,
                seed=seed,
                models=LoadOptions(device="cpu"),
            ),
            progress=lambda step: progress(f"step {step.done}/{step.total}"),
        )
        return load_scales(out)
