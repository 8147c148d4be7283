"""What share of the machine's peaks snql reaches: the rates that `snql paper --dry-run` reckons with.

In one run: how fast this machine multiplies matrices and reads memory, and how long `snql locate` (reading, writing)
and a step of training IA3 take on a random Llama of 110 million weights, for work counted as `snql.paper.costs` counts
it. The shares are those of snql/paper/rates.toml.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from locate import LLAMA_1B, LLAMA_110M, Setting, random_llama, write_prompts
from measured import Result, arguments, show

from snql.contrast.locate import locate
from snql.contrast.options import LocateOptions
from snql.db.connection import Database
from snql.models.load import load_models
from snql.models.options import LoadOptions
from snql.progress import Progress


def peaks(device: str) -> tuple[float, float]:
    """Operations a second of a matrix product, bytes a second of reading a large tensor."""
    dtype = torch.float32 if device == "cpu" else torch.bfloat16
    side = 2048 if device == "cpu" else 8192
    a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    large = torch.randn(64_000_000, device=device)
    matrix = median(lambda: torch.mm(a, b), device)
    memory = median(lambda: large.sum(), device)
    return 2 * side**3 / matrix, large.nbytes / memory


def median(work: Callable[[], object], device: str, times: int = 5) -> float:
    """The median of some timings, in seconds; the first is not counted."""
    taken = []
    for _ in range(times + 1):
        began = time.perf_counter()
        work()
        if device != "cpu":
            torch.cuda.synchronize()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken[1:])


def run(options: LocateOptions) -> tuple[float, int]:
    """Seconds of a run without loading, and the tokens that it scored."""
    began: list[float] = []

    def watch(_: Progress) -> None:
        if not began:
            began.append(time.perf_counter())

    with tempfile.TemporaryDirectory() as folder, Database(Path(folder) / "rates.duckdb") as db:
        found = locate(db, "rates", options, progress=watch)
        return time.perf_counter() - began[0], found.n_tokens


def training(before: str, after: str, device: str) -> tuple[float, int]:
    """Seconds of one step of IA3 training (forward, backward), and its tokens."""
    models = load_models({"before": before, "after": after}, LoadOptions(device=device))
    model = models["before"].base.model
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    scale = torch.ones(model.config.intermediate_size, device=device, requires_grad=True)
    for layer in model.model.layers:
        layer.mlp.down_proj.register_forward_pre_hook(lambda _, given: (given[0] * scale.to(given[0].dtype),))
    ids = torch.randint(10, 30_000, (4, 128), device=device)

    def step() -> None:
        model(input_ids=ids, labels=ids).loss.backward()

    return median(step, device, 3), ids.numel()


def main() -> None:
    """Measure, print, and write JSON if asked."""
    given = arguments(__doc__)
    device = given.device
    operations, bandwidth = peaks(device)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        before, after = random_llama(folder, LLAMA_110M if device == "cpu" else LLAMA_1B)
        n, new, rows = (16, 32, 16) if given.quick else (64, 64, 16)
        prompts = write_prompts(folder / "prompts.txt", n)
        options = Setting(before, after, prompts, n, new, rows, device).options()
        model = load_models({"before": before, "after": after}, options.models)["before"].base.model
        parameters, width = model.num_parameters(), next(model.parameters()).element_size()
        read_seconds, read_tokens = run(replace(options, positions="prompt"))
        reading = 2 * 2 * parameters * read_tokens / read_seconds / operations
        all_seconds, written = run(options)
        read = 2 * parameters * (written + 2 * read_tokens)
        writing_seconds = all_seconds - read / (operations * reading)
        writing = n / rows * new * parameters * width / writing_seconds / bandwidth
        train_seconds, train_tokens = training(before, after, device)
        trained = 4 * parameters * train_tokens / train_seconds / operations
    show(
        [
            Result("peak of matrix products, 10^9 operations/s", operations / 1e9),
            Result("peak of memory, 10^9 bytes/s", bandwidth / 1e9),
            Result("reading: share of the first", reading),
            Result("writing: share of the second", writing),
            Result("training: share of the first", trained),
        ],
        given.json,
    )


if __name__ == "__main__":
    main()
