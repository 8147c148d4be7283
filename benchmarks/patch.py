"""What patching costs: against the published way, done plainly, and against the forward pass itself.

published  two loaded models; for each variant and batch the unpatched baseline is generated anew, then the patched
           text: at every step the donor runs with hooks that read, then the recipient with hooks that overwrite, hooks
           being set anew each step. Rows that have ended stay in their batch until all have.
snql       the engine of ``snql patch``: one batch for both models and all variants.

Both must write the same tokens. On the bundled pair and on a randomly initialised Llama of 110M parameters with a
random IA3 adapter (1.1B on a GPU). A step is measured on 64 rows, half of them the donor's, against a plain forward
pass of the base over as many rows with a cache of the same length. Nothing is stored or judged.
"""

import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import torch
from locate import LLAMA_1B, LLAMA_110M, random_llama, write_prompts
from measured import Result, arguments, show
from transformers import DynamicCache

from snql.contrast.locate import locate
from snql.contrast.options import LocateOptions
from snql.db.connection import Database
from snql.generation.batch import left_padded
from snql.generation.options import WritingOptions
from snql.generation.rules import Rules
from snql.generation.slots import SlotStream
from snql.models import hooks
from snql.models.load import load_models
from snql.models.loaded import LoadedModel
from snql.models.options import LoadOptions
from snql.neurons.sets import NeuronSet
from snql.patching.engine import PatchEngine
from snql.patching.interventions import SOURCE, TARGET, FromSource, PatchedRow
from snql.patching.passes import ModelPass, Rows
from snql.patching.rows import Task, Writing
from snql.prompts.options import PromptOptions
from snql.prompts.read import read_prompt_sets
from snql.prompts.template import Formatter, format_prompts
from snql.rankings.evaluate import Evaluator

Ids = tuple[int, ...]


@dataclass(frozen=True)
class Setting:
    """A pair, prompts, and how they are written. rows: what the published way has in a batch; most: what snql has."""

    recipient: str
    donor: str
    prompts: tuple[str, ...]
    limit: int
    max_new_tokens: int
    rows: int
    most: int
    device: str

    def load(self) -> dict[str, LoadedModel]:
        """Both models, as a run loads them: on one base."""
        dtype = "auto" if self.device == "cpu" else "bfloat16"
        return load_models(
            {"recipient": self.recipient, "donor": self.donor}, LoadOptions(device=self.device, dtype=dtype)
        )

    def load_twice(self) -> dict[str, LoadedModel]:
        """Both models, each with weights of its own."""
        dtype = "auto" if self.device == "cpu" else "bfloat16"
        options = LoadOptions(device=self.device, dtype=dtype)
        pair = {"recipient": self.recipient, "donor": self.donor}
        return {role: load_models({role: spec}, options)[role] for role, spec in pair.items()}

    def texts(self, models: dict[str, LoadedModel]) -> list[Ids]:
        """The prompts as token ids, longest first."""
        source = PromptOptions(self.prompts, limit=self.limit, template="auto")
        formatter = Formatter.of(source, models["recipient"].base.tokenizer)
        ids = [prompt.input_ids for prompt in format_prompts(read_prompt_sets(source).prompts, formatter)]
        return sorted(ids, key=lambda row: -len(row))


def published_batch(
    setting: Setting, models: dict[str, LoadedModel], batch: Sequence[Ids], neurons: NeuronSet | None
) -> list[Ids]:
    """One batch: both models in lockstep with hooks set anew each step; without neurons, the recipient alone."""
    recipient, donor = models["recipient"], models["donor"]
    given = left_padded(batch, recipient.base.pad_id, recipient.base.device)
    masks = {}
    for layer, columns in (neurons.by_layer() if neurons is not None else {}).items():
        masks[layer] = torch.zeros(neurons.shape.n_neurons, dtype=torch.bool, device=given.ids.device)
        masks[layer][torch.from_numpy(columns)] = True
    ids, mask, positions = given.ids, given.mask, given.positions
    caches = {"recipient": DynamicCache(), "donor": DynamicCache()}
    written: list[torch.Tensor] = []
    ended = torch.zeros(len(batch), dtype=torch.bool, device=ids.device)
    ends = torch.tensor(sorted(recipient.base.end_ids), device=ids.device)
    while len(written) < setting.max_new_tokens and not bool(ended.all()):
        taken: dict[int, torch.Tensor] = {}
        if masks:
            with hooks.reading(donor.sites, masks, taken.__setitem__, len(batch)):
                donor.logits(ids, mask, positions, caches["donor"])

        def overwrite(layer: int, own: torch.Tensor, taken: dict[int, torch.Tensor] = taken) -> torch.Tensor:
            return torch.where(masks[layer], taken[layer], own)

        with hooks.rewriting(recipient.sites, masks, overwrite, len(batch)):
            logits = recipient.logits(ids, mask, positions, caches["recipient"])[:, -1]
        token = logits.argmax(dim=-1)
        ended |= torch.isin(token, ends)
        written.append(token)
        ids, positions = token[:, None], positions[:, -1:] + 1
        mask = torch.cat([mask, torch.ones_like(ids)], dim=1)
    return [_until_end(row, recipient.base.end_ids) for row in torch.stack(written, dim=1).tolist()]


def _until_end(row: list[int], end_ids: frozenset[int]) -> Ids:
    first = next((index for index, token in enumerate(row) if token in end_ids), len(row) - 1)
    return tuple(row[: first + 1])


def run_published(
    setting: Setting, models: dict[str, LoadedModel], texts: Sequence[Ids], sets: Sequence[NeuronSet]
) -> tuple[float, list[list[Ids]]]:
    """Seconds, and what was written: by the recipient, then with each set."""
    began = time.perf_counter()
    found: list[list[Ids]] = [[]]
    for neurons in sets:
        baseline, patched = [], []
        for start in range(0, len(texts), setting.rows):
            batch = texts[start : start + setting.rows]
            baseline += published_batch(setting, models, batch, None)
            patched += published_batch(setting, models, batch, neurons)
        found = [baseline, *found[1:], patched]
    wait(setting)
    return time.perf_counter() - began, found


def run_snql(
    setting: Setting,
    models: dict[str, LoadedModel],
    texts: Sequence[Ids],
    sets: Sequence[NeuronSet],
) -> tuple[float, list[list[Ids]]]:
    """The same by the engine, all sets at once."""
    began = time.perf_counter()
    recipient = models["recipient"]
    both = ModelPass(recipient, models["donor"], sets, FromSource())
    engine = PatchEngine(both, Writing(setting.max_new_tokens, Rules(recipient.base.end_ids)), reads_source=True)
    tasks: list[Task] = [
        Task(variant, prompt, 0, ids, "", *((TARGET, None) if variant == 0 else (None, variant - 1)))
        for variants in (range(1), range(1, len(sets) + 1))
        for prompt, ids in enumerate(texts)
        for variant in variants
    ]
    found: list[list[Ids]] = [[()] * len(texts) for _ in range(len(sets) + 1)]
    for finished in engine.write(tasks, setting.most):
        for item in finished:
            found[item.task.variant_id][item.task.prompt_id] = item.completion.token_ids
    wait(setting)
    return time.perf_counter() - began, found


def wait(setting: Setting) -> None:
    """Until the device has done what it was given."""
    if setting.device != "cpu":
        torch.cuda.synchronize()


def compared(
    name: str, setting: Setting, sets: Sequence[NeuronSet], repeats: int, target: str | None
) -> Iterator[Result]:
    """Ratio of times, the two ways in turn; the tokens must be the same."""
    shared, apart = setting.load(), setting.load_twice()
    texts = setting.texts(shared)
    small = Setting(**{**vars(setting), "max_new_tokens": 2})
    run_published(small, apart, texts[: setting.rows], sets[:1])  # what is done once is not measured
    run_snql(small, shared, texts[: setting.rows], sets[:1])
    seconds: dict[str, list[float]] = {"published": [], "snql": []}
    for _ in range(repeats):
        published, by_published = run_published(setting, apart, texts, sets)
        ours, by_snql = run_snql(setting, shared, texts, sets)
        seconds["published"].append(published)
        seconds["snql"].append(ours)
    pairs = zip(chain.from_iterable(by_published), chain.from_iterable(by_snql), strict=True)
    same = sum(left == right for left, right in pairs)
    total = len(texts) * (len(sets) + 1)
    tokens = sum(len(ids) for part in by_snql for ids in part)
    yield Result(f"{name}: seconds, published", statistics.median(seconds["published"]))
    yield Result(f"{name}: seconds, snql", statistics.median(seconds["snql"]))
    yield Result(f"{name}: tokens a second, snql", tokens / statistics.median(seconds["snql"]))
    ratio = statistics.median(seconds["published"]) / statistics.median(seconds["snql"])
    yield Result(f"{name}: published / snql", ratio, target)
    yield Result(
        f"{name}: share of completions with the same tokens", same / total, ">= 1" if setting.device == "cpu" else None
    )
    yield Result(f"{name}: bytes of weights / one copy", _weights(shared) / _base_bytes(shared), "<= 1.05")


def _weights(models: dict[str, LoadedModel]) -> int:
    parts = {
        parameter.data_ptr(): parameter.nbytes
        for model in models.values()
        for parameter in model.base.model.parameters()
    }
    return sum(parts.values())


def _base_bytes(models: dict[str, LoadedModel]) -> int:
    named = models["recipient"].base.model.named_parameters()
    parts = {
        parameter.data_ptr(): parameter.nbytes for name, parameter in named if "ia3" not in name and "lora" not in name
    }
    return sum(parts.values())


def step_cost(name: str, setting: Setting, neurons: NeuronSet, rows: int, repeats: int) -> Iterator[Result]:
    """A step of the fused batch, half of it donor rows, against a plain forward pass of the base over the same rows."""
    models = setting.load()
    recipient, donor = models["recipient"], models["donor"]
    text = setting.texts(models)[0]
    half = rows // 2
    fused = ModelPass(recipient, donor, [neurons], FromSource())
    plain = SlotStream(fused.streams[0].model)
    plan = Rows(
        [SOURCE] * half + [TARGET] * half,
        [None] * half + [PatchedRow(0, row, len(text), range(1000), "", 0) for row in range(half)],
    )
    tokens = [5] * (2 * half)
    with torch.inference_mode(), fused.applied():
        (fresh,) = fused.read([[text] * (2 * half)], [plan])
        fused.streams[0].place(fresh, range(2 * half))
    with torch.inference_mode():
        plain.place(plain.read([text] * (2 * half), len(text)), range(2 * half))
        seconds: dict[str, list[float]] = {"plain": [], "fused": []}
        for _ in range(repeats):
            began = time.perf_counter()
            plain.step(tokens)
            wait(setting)
            seconds["plain"].append(time.perf_counter() - began)
            with fused.applied():
                began = time.perf_counter()
                fused.step([tokens], [plan])
                wait(setting)
                seconds["fused"].append(time.perf_counter() - began)
    growing = growing_cache(setting, fused.streams[0].model, text, tokens, repeats)
    yield Result(f"{name}: a cache that grows / one allocated ahead", growing / statistics.median(seconds["plain"]))
    ratio = statistics.median(seconds["fused"]) / statistics.median(seconds["plain"])
    yield Result(f"{name}: fused step / plain forward, {2 * half} rows", ratio, "<= 1.15")


@torch.inference_mode()
def growing_cache(setting: Setting, model: LoadedModel, text: Ids, tokens: list[int], repeats: int) -> float:
    """Median seconds of a step of the plain base with transformers' own cache, which is copied at each step."""
    cache = DynamicCache()
    given = left_padded([text] * len(tokens), model.base.pad_id, model.base.device)
    model.logits(given.ids, given.mask, given.positions, cache)
    ids, positions, mask = torch.tensor(tokens, device=given.ids.device)[:, None], given.positions[:, -1:], given.mask
    seconds = []
    for _ in range(repeats):
        positions, mask = positions + 1, torch.cat([mask, torch.ones_like(ids)], dim=1)
        began = time.perf_counter()
        model.logits(ids, mask, positions, cache)
        wait(setting)
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def sweep_sets(db: Database, run: str, model: LoadedModel, sizes: Sequence[str], controls: int) -> list[NeuronSet]:
    """The sets of a sweep, each followed by its controls."""
    evaluator = Evaluator(db, model.shape)
    found = []
    for size in sizes:
        found.append(evaluator.evaluate(f"{run}:{size}"))
        found += [evaluator.evaluate(f"random({run}:{size}, seed={seed})") for seed in range(1, controls + 1)]
    return found


def measure(
    name: str, folder: Path, setting: Setting, sizes: Sequence[str], located_on: str, *, quick: bool, repeats: int
) -> Iterator[Result]:
    """Locate, then one variant, a sweep, and a step."""
    models = setting.load()
    dtype = "auto" if setting.device == "cpu" else "bfloat16"
    with Database(folder / f"{name.split()[0]}.duckdb") as db:
        options = LocateOptions(
            before=setting.recipient,
            after=setting.donor,
            prompts=PromptOptions((located_on,), limit=50, template="auto"),
            writing=WritingOptions(max_new_tokens=16),
            keep="none",
            models=LoadOptions(device=setting.device, dtype=dtype),
        )
        locate(db, "found", options)
        one = sweep_sets(db, "found", models["recipient"], ["5%"], 0)
        sets = sweep_sets(db, "found", models["recipient"], sizes, 1 if quick else 5)
    yield from step_cost(name, setting, one[0], 64, 20 if quick else 100)
    for rows in sorted({20, setting.rows} if setting.rows > 20 else {setting.rows}):
        other = Setting(**{**vars(setting), "rows": rows})
        yield from compared(f"{name}, one variant, published in batches of {rows}", other, one, repeats, ">= 1.5")
    target = None
    if setting.recipient.startswith("demo:"):
        target = ">= 4" if setting.device == "cpu" else ">= 10"
    yield from compared(f"{name}, sweep of {len(sets)} variants", setting, sets, 1, target)


def main() -> None:
    """Measure, print, and write JSON if asked."""
    given = arguments(__doc__)
    quick, device = given.quick, given.device
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        red = ("demo:harmful", "demo:harmful-rephrased", "demo:harmful-new-families", "demo:harmful-wrapped")
        sizes = ["1%", "5%", "10%"] if quick else ["0.5%", *(f"{size}%" for size in range(1, 22))]
        bundled = Setting("demo:sft", "demo:safety", red, 5 if quick else 50, 48, 20 if quick else 50, 256, device)
        results = list(
            measure("bundled pair", folder, bundled, sizes, "demo:locate", quick=quick, repeats=1 if quick else 3)
        )
        if not quick:
            label, shape = ("110M Llama", LLAMA_110M) if device == "cpu" else ("1B Llama", LLAMA_1B)
            before, after = random_llama(folder, shape)
            prompts = write_prompts(folder / "prompts.txt", 1000)
            n, new, rows, most = (16, 32, 16, 128) if device == "cpu" else (100, 128, 50, 1024)
            large = Setting(before, after, (prompts,), n, new, rows, most, device)
            results += measure(label, folder, large, ["1%", "5%", "10%"], prompts, quick=device == "cpu", repeats=1)
    show(results, given.json)


if __name__ == "__main__":
    main()
