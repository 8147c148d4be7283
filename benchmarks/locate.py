"""What locating costs: against the floor, and against the way of the published code.

floor      plain Hugging Face ``generate`` by one model, then one forward pass of the other over the finished texts;
           no hooks, no statistics, nothing stored.
published  as arXiv 2406.14144's code does it: ``generate``, then both models read every text again with hooks, every
           activation is kept in memory, and scores are computed at the end.
snql       ``locate`` with ``--keep none``, from the first prompt to the finished run in the database.

Same prompts, same batches, same tokens. On the bundled pair, and on a randomly initialised Llama of 110M parameters
with a random IA3 adapter. Peak memory is that of a fresh process over what it has once its models are loaded.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from measured import Peak, Result, arguments, in_child, show
from peft import IA3Config, get_peft_model
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from snql.contrast.locate import locate
from snql.contrast.options import LocateOptions
from snql.db.connection import Database
from snql.generation.batch import by_length, left_padded
from snql.generation.options import WritingOptions
from snql.models.load import load_models
from snql.models.loaded import LoadedModel
from snql.models.options import LoadOptions
from snql.models.spec import parse_model_spec
from snql.progress import Progress
from snql.prompts.options import PromptOptions

Batches = list[list[tuple[int, ...]]]


@dataclass(frozen=True)
class Setting:
    """What is measured: a pair of models, prompts, and the size of a batch."""

    before: str
    after: str
    prompts: str
    limit: int
    max_new_tokens: int
    batch_size: int
    device: str

    def options(self, keep: str = "none") -> LocateOptions:
        """As ``snql locate`` would be asked."""
        dtype = "auto" if self.device == "cpu" else "bfloat16"
        return LocateOptions(
            before=self.before,
            after=self.after,
            prompts=PromptOptions((self.prompts,), limit=self.limit, template="plain"),
            writing=WritingOptions(max_new_tokens=self.max_new_tokens, batch_size=self.batch_size),
            keep=keep,
            models=LoadOptions(device=self.device, dtype=dtype),
        )

    def models(self) -> dict[str, LoadedModel]:
        """Both models, loaded as a run loads them."""
        return load_models({"before": self.before, "after": self.after}, self.options().models)


class Began:
    """The time of the first report of a run: its models are loaded by then."""

    def __init__(self) -> None:
        self.at = 0.0
        self.peak = Peak()

    def __call__(self, _: Progress) -> None:
        if not self.at:
            self.peak.begin()
            self.at = time.perf_counter()


def run_snql(setting: Setting, keep: str = "none", bootstrap: int = 0) -> tuple[float, int]:
    """Seconds and bytes of a locate run, once its models are loaded."""
    with tempfile.TemporaryDirectory() as folder, Database(Path(folder) / "x.duckdb") as db:
        began = Began()
        locate(db, "run", replace(setting.options(keep), bootstrap=bootstrap), progress=began)
        return time.perf_counter() - began.at, began.peak.bytes()


def batches_of(setting: Setting, tokenizer: object) -> Batches:
    """The batches that a locate run makes: prompts by length, longest first."""
    from snql.prompts.read import read_prompt_sets
    from snql.prompts.template import Formatter, format_prompts

    source = setting.options().prompts
    formatter = Formatter.of(source, tokenizer)  # type: ignore[arg-type]
    ids = [prompt.input_ids for prompt in format_prompts(read_prompt_sets(source).prompts, formatter)]
    return [[ids[index] for index in batch] for batch in by_length([len(row) for row in ids], setting.batch_size)]


def generated(model: LoadedModel, batch: list[tuple[int, ...]], max_new_tokens: int) -> tuple[torch.Tensor, int]:
    """Texts that Hugging Face's ``generate`` finished, and the width of their prompts."""
    given = left_padded(batch, model.base.pad_id, model.base.device)
    with model.switched_on() as network:
        texts = network.generate(
            input_ids=given.ids,
            attention_mask=given.mask,
            max_new_tokens=max_new_tokens,
            do_sample=False,
            pad_token_id=model.base.pad_id,
            eos_token_id=sorted(model.base.end_ids),
        )
    return texts, given.ids.shape[1]


def read_mask(model: LoadedModel, texts: torch.Tensor, batch: list[tuple[int, ...]], width: int) -> torch.Tensor:
    """Which tokens are real: prompts without their padding, completions up to and with their end."""
    mask = torch.ones_like(texts)
    for row, prompt in enumerate(batch):
        mask[row, : width - len(prompt)] = 0
    ends = torch.isin(texts[:, width:], torch.tensor(sorted(model.base.end_ids), device=texts.device)).long()
    mask[:, width:] = (ends.cumsum(dim=1) - ends == 0).long()
    return mask


def run_floor(setting: Setting, models: dict[str, LoadedModel], batches: Batches) -> float:
    """Seconds of writing with one model and one forward pass of the other."""
    began = time.perf_counter()
    for batch in batches:
        texts, width = generated(models["before"], batch, setting.max_new_tokens)
        mask = read_mask(models["before"], texts, batch, width)
        with models["after"].switched_on() as network:
            network(input_ids=texts[:, :-1], attention_mask=mask[:, :-1], use_cache=False, logits_to_keep=1)
    wait(setting)
    return time.perf_counter() - began


def run_published(setting: Setting, models: dict[str, LoadedModel], batches: Batches) -> float:
    """Seconds of writing, reading with both models, and scoring from all activations."""
    began = time.perf_counter()
    kept: dict[str, list[list[torch.Tensor]]] = {role: [[] for _ in model.sites] for role, model in models.items()}
    for batch in batches:
        texts, width = generated(models["before"], batch, setting.max_new_tokens)
        mask = read_mask(models["before"], texts, batch, width)
        scored = mask[:, :-1].clone()
        scored[:, : width - 1] = 0
        scored &= mask[:, 1:]
        for role, model in models.items():
            read_all(model, texts[:, :-1], mask[:, :-1], scored.bool(), kept[role])
    before, after = (torch.stack([torch.cat(layer) for layer in kept[role]]) for role in ("before", "after"))
    (before - after).square().mean(dim=1).sqrt()
    for activations in (before, after):
        activations.mean(dim=1)
        activations.std(dim=1)
    return time.perf_counter() - began


def read_all(
    model: LoadedModel, ids: torch.Tensor, mask: torch.Tensor, scored: torch.Tensor, into: list[list[torch.Tensor]]
) -> None:
    """One forward pass whose scored activations are copied to main memory, layer by layer."""
    from snql.models import hooks

    def take(layer: int, activations: torch.Tensor) -> None:
        into[layer].append(activations[scored].float().cpu())

    with hooks.reading(model.sites, range(model.base.n_layers), take, len(ids)), model.switched_on() as network:
        network(input_ids=ids, attention_mask=mask, use_cache=False)


def wait(setting: Setting) -> None:
    """Until the device has done what it was given."""
    if setting.device != "cpu":
        torch.cuda.synchronize()


def speed(name: str, setting: Setting, repeats: int) -> Iterator[Result]:
    """Ratios of time, the three ways in turn, each the median over ``repeats``."""
    models = setting.models()
    batches = batches_of(setting, models["before"].base.tokenizer)
    ways: dict[str, Callable[[], float]] = {
        "floor": lambda: run_floor(setting, models, batches),
        "published": lambda: run_published(setting, models, batches),
        "snql": lambda: run_snql(setting)[0],
        "keep": lambda: run_snql(setting, "5%")[0],
        "bootstrap": lambda: run_snql(setting, bootstrap=1000)[0],
    }
    small = Setting(**{**vars(setting), "limit": setting.batch_size, "max_new_tokens": 4})
    run_floor(small, models, batches[:1])  # what is done once, such as choosing kernels, is not measured
    run_snql(small)
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(repeats):
        for way, measure in ways.items():
            seconds[way].append(measure())
    median = {way: statistics.median(values) for way, values in seconds.items()}
    yield Result(f"{name}: seconds of the floor", median["floor"])
    yield Result(f"{name}: snql / floor", median["snql"] / median["floor"], "<= 1.15")
    yield Result(f"{name}: published / snql", median["published"] / median["snql"], ">= 1.5")
    yield Result(f"{name}: published / floor", median["published"] / median["floor"])
    yield Result(f"{name}: snql with --keep 5% / floor", median["keep"] / median["floor"])
    yield Result(f"{name}: snql with --bootstrap 1000 / without", median["bootstrap"] / median["snql"])


def memory(name: str, settings: dict[int, Setting]) -> Iterator[Result]:
    """How peak memory over the loaded models' grows with the number of prompts."""
    few, many = sorted(settings)
    peaks = {
        (way, n): in_child(__file__, [way, *(str(value) for value in vars(setting).values())])
        for way in ("snql", "published")
        for n, setting in settings.items()
    }
    for way in ("snql", "published"):
        yield Result(f"{name}: MB over the models, {way}, {few} prompts", peaks[way, few] / 1e6)
        yield Result(f"{name}: MB over the models, {way}, {many} prompts", peaks[way, many] / 1e6)
        growth = peaks[way, many] / peaks[way, few]
        yield Result(f"{name}: growth, {way}", growth, "<= 1.05" if way == "snql" else None)


def child(given: list[str]) -> None:
    """Print the peak memory of one way."""
    way, *values = given
    kinds = Setting.__annotations__
    parsed = {key: kinds[key](value) for key, value in zip(kinds, values, strict=True)}
    setting = Setting(**parsed)
    if way == "snql":
        print(run_snql(setting)[1])
        return
    models = setting.models()
    batches = batches_of(setting, models["before"].base.tokenizer)
    peak = Peak()
    peak.begin()
    run_published(setting, models, batches)
    print(peak.bytes())


def random_llama(folder: Path, shape: dict[str, int]) -> tuple[str, str]:
    """A randomly initialised Llama with the bundled tokenizer, and the same with a random IA3 adapter."""
    torch.manual_seed(0)
    bundled = parse_model_spec("demo:base").base.location
    tokenizer = AutoTokenizer.from_pretrained(bundled)
    config = LlamaConfig(
        **shape, max_position_embeddings=2048, tie_word_embeddings=True, pad_token_id=0, bos_token_id=1, eos_token_id=2
    )
    model = LlamaForCausalLM(config)
    model.save_pretrained(folder / "base")
    tokenizer.save_pretrained(folder / "base")
    tuned = get_peft_model(model, IA3Config(target_modules=["down_proj"], feedforward_modules=["down_proj"]))
    with torch.no_grad():
        for key, parameter in tuned.named_parameters():
            if "ia3_l" in key:
                parameter.copy_(1 + 0.3 * torch.randn_like(parameter))
    tuned.save_pretrained(folder / "tuned")
    return str(folder / "base"), f"{folder / 'base'}+{folder / 'tuned'}"


LLAMA_110M = {
    "vocab_size": 32_000,
    "hidden_size": 768,
    "intermediate_size": 2048,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "num_key_value_heads": 12,
}
LLAMA_1B = {
    "vocab_size": 32_000,
    "hidden_size": 2048,
    "intermediate_size": 5632,
    "num_hidden_layers": 22,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
}


def write_prompts(path: Path, n: int) -> str:
    """``n`` different prompts of similar length."""
    words = ("river", "stone", "market", "winter", "garden", "signal", "copper", "letter", "harbor", "engine")
    lines = [f"Case {i}: tell me about the {words[i % 10]} and the {words[i // 10 % 10]} of {i}." for i in range(n)]
    path.write_text("\n".join(lines))
    return str(path)


def main() -> None:
    """Measure, print, and write JSON if asked."""
    given = arguments(__doc__)
    if given.child is not None:
        child(given.child)
        return
    quick, device = given.quick, given.device
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prompts = write_prompts(folder / "prompts.txt", 1000)
        bundled = Setting("demo:sft", "demo:safety", prompts, 200 if quick else 1000, 48, 100, device)
        short_run = Setting("demo:sft", "demo:safety", "demo:locate", 200, 48, 50, device)
        results = list(speed("bundled pair, 200 prompts", short_run, 1 if quick else 7))
        results += speed("bundled pair", bundled, 1 if quick else 5)
        many = Setting("demo:sft", "demo:safety", prompts, 50, 16, 16, device)
        results += memory(
            "bundled pair", {n: Setting(**{**vars(many), "limit": n}) for n in (50, 200 if quick else 1000)}
        )
        if not quick:
            shape = LLAMA_110M if device == "cpu" else LLAMA_1B
            label = "110M Llama" if device == "cpu" else "1B Llama"
            before, after = random_llama(folder, shape)
            n, new, rows = (64, 64, 16) if device == "cpu" else (200, 256, 50)
            large = Setting(before, after, prompts, n, new, rows, device)
            results += list(speed(label, large, 3))
            short = Setting(before, after, prompts, 50, 16, 16, device)
            results += memory(label, {n: Setting(**{**vars(short), "limit": n}) for n in (50, 1000)})
    show(results, given.json)


if __name__ == "__main__":
    main()
