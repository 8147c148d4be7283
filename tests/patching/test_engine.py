"""The engine: fused, in lockstep, and against a recomputation that has no cache, no batch and hooks of its own."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch

from snql.errors import RunError
from snql.generation.decode import generate
from snql.generation.options import SamplingOptions
from snql.generation.rules import Rules
from snql.generation.sampling import choose, random_numbers, row_generator
from snql.generation.slots import SlotStream
from snql.generation.types import Completion
from snql.models.mixed import can_mix
from snql.neurons.sets import NeuronSet
from snql.patching.engine import PatchEngine
from snql.patching.interventions import (
    SOURCE,
    TARGET,
    Constant,
    FromSource,
    Intervention,
    Noise,
    PatchedRow,
    Scaled,
    Where,
)
from snql.patching.overwrite import Overwriter
from snql.patching.passes import ModelPass
from snql.patching.rows import Task, Writing, Written

from ..patched import PatchRow, patch_and_generate, write_rows
from .by_hand import N_NEW, SHAPE, Change, Models, by_hand, donated, random_sets


@pytest.mark.parametrize(
    ("recipient", "donor"),
    [
        ("sft", "dpo"),
        pytest.param("dpo", "sft", marks=pytest.mark.slow("two adapters of one base, as above")),
        pytest.param("base", "dpo", marks=pytest.mark.slow("two models of one base, as above")),
        ("base", "other"),
    ],
)
def test_every_way_equals_a_recomputation(
    oracle_models: Models, oracle_prompts: list[dict[str, Any]], recipient: str, donor: str
) -> None:
    """Completions, and what unpatched models would have written; several sets a prompt, few rows, any order."""
    target, source = oracle_models[recipient], oracle_models[donor]
    prompts = [tuple(prompt["input_ids"]) for prompt in oracle_prompts[:2]]
    sets = random_sets(1, (0, 5, 100, 300, 704))
    rows = [PatchRow(ids, neurons) for ids in prompts for neurons in sets]
    rows += [PatchRow(ids, sets[0], by) for ids in prompts for by in (SOURCE, TARGET)]
    patched = rows[: len(prompts) * len(sets)]
    expected = [by_hand(target, source, row.input_ids, row.neurons, donated) for row in patched]
    shared = can_mix([source, target])
    assert shared == (donor != "other")
    as_given = list(range(len(rows)))
    shuffled = np.random.default_rng(2).permutation(len(rows)).tolist()
    target_first = sorted(as_given, key=lambda index: rows[index].by != TARGET)
    for fuse in (True, False) if shared else (False,):
        for most_rows, order, drafts in (
            *((1000, as_given, False), (3, shuffled, False)),
            *((1000, target_first, True), (3, target_first, True), (5, shuffled, True)),
        ):
            arranged = [rows[index] for index in order]
            found = write_rows(target, source, arranged, N_NEW, most_rows=most_rows, fuse=fuse, drafts=drafts)
            by_row = dict(zip(order, found, strict=True))
            for index, (written, source_ids, target_ids) in enumerate(expected):
                item = by_row[index]
                assert list(item.completion.token_ids) == written
                assert list(item.source_ids) == source_ids
                assert list(item.target_ids) == target_ids[: len(item.target_ids)]
            for index in range(len(expected), len(rows)):
                row = rows[index]
                model = source if row.by == SOURCE else target
                plain = by_hand(model, None, row.input_ids, sets[0], donated)[0]
                assert list(by_row[index].completion.token_ids) == plain


def test_the_first_change_is_known_where_the_target_writes_beside(
    oracle_models: Models, oracle_prompts: list[dict[str, Any]]
) -> None:
    prompts = [tuple(prompt["input_ids"]) for prompt in oracle_prompts]
    sets = random_sets(4, (0, 60, 704))
    chosen = [(sets[0], TARGET), *((neurons, None) for neurons in sets)]
    rows = [PatchRow(ids, neurons, by) for ids in prompts for neurons, by in chosen]
    plain = {}
    for drafts in (False, True):
        changed = 0
        found = write_rows(oracle_models["sft"], oracle_models["dpo"], rows, 24, drafts=drafts)
        for item in found:
            if item.task.by == TARGET:
                plain[item.task.prompt_id] = item.completion.token_ids
        for item in (item for item in found if item.task.patch is not None):
            own, tokens, known = plain[item.task.prompt_id], item.completion.token_ids, item.target_ids
            pairs = enumerate(zip(tokens, known, strict=False))
            first = next((step for step, pair in pairs if pair[0] != pair[1]), None)
            assert len(known) == (len(tokens) if first is None else first + 1)
            assert known == own[: len(known)]
            changed += first is not None
        assert 5 < changed < 36


def drafted(
    models: Models, target: str, neurons: NeuronSet, drafts: Sequence[tuple[tuple[int, ...], tuple[int, ...]]]
) -> list[Completion]:
    """What a set writes for prompts whose drafts are given, two at a time."""
    both = ModelPass(models[target], models["dpo"], [neurons], FromSource())
    engine = PatchEngine(both, Writing(24, Rules(frozenset({2}))), reads_source=True)
    tasks = [Task(0, index, 0, ids, str(ids), None, 0, draft) for index, (ids, draft) in enumerate(drafts)]
    found = {item.task.prompt_id: item.completion for batch in engine.write(tasks, 2) for item in batch}
    return [found[index] for index in range(len(drafts))]


def test_a_draft_that_is_kept_takes_no_steps(
    oracle_models: Models, oracle_prompts: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a set writes is read once where it is what the recipient wrote; a wrong draft changes nothing."""
    prompts = [tuple(prompt["input_ids"]) for prompt in oracle_prompts]
    nothing = NeuronSet.of(SHAPE, [])
    plain = generate(oracle_models["sft"], prompts, 24)
    sizes = watched_rows(monkeypatch)
    drafts = [(ids, completion.token_ids) for ids, completion in zip(prompts, plain, strict=True)]
    assert drafted(oracle_models, "sft", nothing, drafts) == plain
    assert sizes == []
    wrong = [(ids, tuple((token + 7 * (step == 5)) % 250 for step, token in enumerate(draft))) for ids, draft in drafts]
    assert drafted(oracle_models, "sft", nothing, wrong) == plain
    assert sum(sizes) > 0


@pytest.mark.parametrize("n_drafted", [1, 2, 24])
def test_a_draft_beside_the_target_itself(oracle_models: Models, n_drafted: int) -> None:
    """What the unpatched target chooses is noted once for each step, also where it reads the same text in the batch."""
    ids = (1, 50, 60)
    (plain,) = generate(oracle_models["sft"], [ids], 24)
    both = ModelPass(oracle_models["sft"], oracle_models["dpo"], random_sets(1, (0, 704)), FromSource())
    engine = PatchEngine(both, Writing(24, Rules(frozenset({2}))), reads_source=True)
    draft = plain.token_ids[:n_drafted]
    tasks = [Task(0, 0, 0, ids, "", TARGET)] + [Task(1 + i, 0, 0, ids, "", None, i, draft) for i in range(2)]
    found = [item for batch in engine.write(tasks, 10) for item in batch]
    assert len(found) == 3
    for item in found:
        assert item.target_ids == plain.token_ids[: len(item.target_ids)]
        assert len(item.target_ids) <= len(item.completion.token_ids)


def test_drafts_end_for_a_set_that_keeps_none(
    oracle_models: Models, oracle_prompts: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = [tuple(prompt["input_ids"]) for prompt in oracle_prompts]
    everything = NeuronSet.all(SHAPE)
    plain = generate(oracle_models["base"], prompts, 24)
    used: list[bool] = []
    real = PatchEngine._admit

    def admit(engine: PatchEngine, tasks: Sequence[Task]) -> list[Written]:
        used.extend(bool(engine._draft(task)) for task in tasks)
        return real(engine, tasks)

    monkeypatch.setattr(PatchEngine, "_admit", admit)
    drafts = [(ids, completion.token_ids) for ids, completion in zip(prompts, plain, strict=True)]
    assert drafted(oracle_models, "base", everything, drafts) == generate(oracle_models["dpo"], prompts, 24)
    assert len(used) == 12
    assert 5 <= sum(used) < 12


def test_all_neurons_are_the_donor_and_none_the_recipient(
    oracle_models: Models, oracle_prompts: list[dict[str, Any]]
) -> None:
    prompts = [tuple(prompt["input_ids"]) for prompt in oracle_prompts]
    nothing, everything = NeuronSet.of(SHAPE, []), NeuronSet.all(SHAPE)
    for sampling in (SamplingOptions(), SamplingOptions(temperature=0.8, top_p=0.95)):
        ways = ((nothing, None), (everything, None), (nothing, TARGET), (nothing, SOURCE))
        rows = [PatchRow(ids, neurons, by) for ids in prompts for neurons, by in ways]
        found = [
            w.completion for w in write_rows(oracle_models["sft"], oracle_models["dpo"], rows, 24, sampling=sampling)
        ]
        assert found[0::4] == found[2::4]
        assert found[1::4] == found[3::4]
        assert found[2::4] != found[3::4]


def watched_rows(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows each step has, from here on."""
    sizes: list[int] = []
    real = SlotStream.step

    def step(stream: SlotStream, tokens: Sequence[int]) -> torch.Tensor:
        sizes.append(len(tokens))
        return real(stream, tokens)

    monkeypatch.setattr(SlotStream, "step", step)
    return sizes


def test_texts_that_are_the_same_share_a_donor_row(oracle_models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = watched_rows(monkeypatch)
    nothing = NeuronSet.of(SHAPE, [])
    rows = [PatchRow((1, 50, 60), nothing)] * 5 + [PatchRow((1, 50, 60), nothing, by) for by in (TARGET, SOURCE)]
    reads: list[int] = []
    real = SlotStream.read

    def watch(stream: SlotStream, texts: Sequence[Sequence[int]], width: int, keep: int) -> Any:
        reads.append(len(texts))
        return real(stream, texts, width, keep)

    monkeypatch.setattr(SlotStream, "read", watch)
    found = write_rows(oracle_models["sft"], oracle_models["dpo"], rows, 6, drafts=False)
    assert reads == [7]  # five patched texts, and one each that source and target read
    recipients, donors = (item.completion.token_ids for item in found[5:])
    assert recipients[:2] != donors[:2]
    # five patched rows, the recipient's, one of the donor on their text, and one on its own once that differs
    assert max(sizes) == 8


def test_finished_rows_leave_and_others_take_their_places(
    oracle_models: Models, oracle_prompts: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = [tuple(prompt["input_ids"]) for prompt in oracle_prompts]
    rows = [PatchRow(ids, NeuronSet.of(SHAPE, []), TARGET) for ids in prompts]
    whole = write_rows(oracle_models["sft"], None, rows, 24, intervention=Scaled(0.0))
    lengths = sorted(len(item.completion.token_ids) for item in whole)
    assert lengths[0] < lengths[-1]
    sizes = watched_rows(monkeypatch)
    assert write_rows(oracle_models["sft"], None, rows, 24, intervention=Scaled(0.0), most_rows=4) == whole
    assert max(sizes) == 4
    assert sum(sizes) == sum(lengths) - len(rows)  # every row of every step wrote a token; prompts gave the first


WHERES = [
    Where(),
    Where("prompt"),
    Where("completion"),
    Where("all", 1),
    Where("all", 3),
    Where("completion", 1),
    Where("completion", 4),
]


@pytest.mark.parametrize("where", [*WHERES, Where("all", 2)], ids=str)
def test_a_draft_is_patched_at_the_positions_asked_for_and_no_other(oracle_models: Models, where: Where) -> None:
    """Prompts and drafts of several lengths are read at once; every neuron of a patched position is 0 after it."""
    model = oracle_models["sft"]
    sizes = ((3, 5), (6, 1), (2, 4), (4, 0))  # tokens of the prompt, of its draft
    overwriter = Overwriter(model, None, [NeuronSet.all(SHAPE)], Scaled(0.0))
    rows = [PatchedRow(0, 0, n + more, where.positions(n), str(n), 0) for n, more in sizes]
    width = max(n + more for n, more in sizes)
    overwriter.assign([*rows, None])
    for layer in range(SHAPE.n_layers):
        patched = overwriter._rewrite(layer, torch.ones(len(rows) + 1, width, SHAPE.n_neurons))
        assert bool((patched[-1] == 1).all())
        for found, (n, more) in zip(patched, sizes, strict=False):
            text = found[width - n - more :]
            prompt = where.steps != "completion"
            written = 0 if where.steps == "prompt" else more if where.first is None else min(more, where.first - 1)
            expected = [0.0 if prompt else 1.0] * n + [0.0] * written + [1.0] * (more - written)
            assert text.amax(-1).tolist() == text.amin(-1).tolist() == expected


@pytest.mark.parametrize("where", WHERES, ids=str)
def test_positions(oracle_models: Models, oracle_prompts: list[dict[str, Any]], where: Where) -> None:
    """The step that reads the prompt writes token 1; position t+k writes token k+1."""
    prompts = [tuple(prompt["input_ids"]) for prompt in oracle_prompts[:3]]
    (neurons,) = random_sets(6, (400,))
    rows = [PatchRow(ids, neurons) for ids in prompts]
    found = write_rows(oracle_models["sft"], oracle_models["dpo"], rows, N_NEW, where=where, most_rows=2)
    for ids, item in zip(prompts, found, strict=True):

        def covered(position: int, t: int = len(ids) - 1) -> bool:
            if position <= t:
                return where.steps != "completion"
            return where.steps != "prompt" and (where.first is None or position - t < where.first)

        expected = by_hand(oracle_models["sft"], oracle_models["dpo"], ids, neurons, donated, covered)[0]
        assert list(item.completion.token_ids) == expected


GENERATOR = torch.Generator().manual_seed(8)
MEANS = torch.randn(4, 176, generator=GENERATOR, dtype=torch.float64)
DEVIATIONS = torch.rand(4, 176, generator=GENERATOR, dtype=torch.float64) * 0.3


def noisy(prompt: tuple[int, ...], neurons: NeuronSet) -> Change:
    columns = neurons.by_layer()

    def change(
        layer: int, positions: list[int], neurons: list[int], own: torch.Tensor, _other: torch.Tensor
    ) -> torch.Tensor:
        if not neurons:
            return own
        assert columns[layer].tolist() == neurons
        drawn = [row_generator(3, str(prompt), 0, at, layer).standard_normal(len(neurons)) for at in positions]
        return own + (2.0 * DEVIATIONS[layer, neurons] * torch.tensor(np.array(drawn))).float()

    return change


def test_other_interventions(oracle_models: Models, oracle_prompts: list[dict[str, Any]]) -> None:
    """Zero, scaling, means and noise, in rows of different sets, neuron by neuron."""
    target = oracle_models["sft"]
    prompts = [tuple(prompt["input_ids"]) for prompt in oracle_prompts[:3]]
    sets = random_sets(9, (30, 250))
    rows = [PatchRow(ids, neurons) for ids in prompts for neurons in sets]
    columns = [row.neurons.by_layer() for row in rows]
    ways: list[tuple[Intervention, Callable[[PatchRow], Change]]] = [
        (Scaled(0.0), lambda _row: lambda _l, _p, _n, own, _o: torch.zeros_like(own)),
        (Scaled(-1.5), lambda _row: lambda _l, _p, _n, own, _o: -1.5 * own),
        (Constant(MEANS), lambda _row: lambda la, _p, ne, own, _o: MEANS[la, ne].float().expand(own.shape)),
        (Noise(DEVIATIONS, 2.0, 3, columns), lambda row: noisy(row.input_ids, row.neurons)),
    ]
    plain = [by_hand(target, None, row.input_ids, NeuronSet.of(SHAPE, []), donated)[0] for row in rows]
    for intervention, changes in ways:
        found = write_rows(target, None, rows, N_NEW, intervention=intervention, most_rows=4)
        expected = [by_hand(target, None, row.input_ids, row.neurons, changes(row))[0] for row in rows]
        assert [list(item.completion.token_ids) for item in found] == expected
        assert expected != plain
        assert all(item.source_ids == () for item in found)


def test_drawn_tokens_equal_a_recomputation(oracle_models: Models, oracle_prompts: list[dict[str, Any]]) -> None:
    target, source = oracle_models["sft"], oracle_models["dpo"]
    prompts = [tuple(prompt["input_ids"]) for prompt in oracle_prompts[:4]]
    sets = random_sets(11, (40, 500))
    rows = [PatchRow(ids, neurons) for ids in prompts for neurons in sets]
    sampling = SamplingOptions(temperature=1.3, top_p=0.9)
    for most_rows in (3, 100):
        found = write_rows(target, source, rows, N_NEW, sampling=sampling, seed=5, most_rows=most_rows)
        for row, item in zip(rows, found, strict=True):
            numbers = random_numbers(5, str(row.input_ids), 0, N_NEW)

            def drawn(logits: torch.Tensor, step: int, numbers: Any = numbers) -> int:
                return choose(sampling, logits[None], [0], [float(numbers[step])])[0]

            written, source_ids, _ = by_hand(target, source, row.input_ids, row.neurons, donated, choose=drawn)
            assert list(item.completion.token_ids) == written
            assert list(item.source_ids) == source_ids


def test_out_of_memory_goes_on_with_fewer_rows(
    oracle_models: Models, oracle_prompts: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    sets = random_sets(2, (0, 9, 300))
    rows = [PatchRow(tuple(prompt["input_ids"]), neurons) for prompt in oracle_prompts[:5] for neurons in sets]
    whole = write_rows(oracle_models["sft"], oracle_models["dpo"], rows, 12)
    real = SlotStream.step
    failures: list[int] = []

    def small(most: int) -> Any:
        def step(stream: SlotStream, tokens: Sequence[int]) -> torch.Tensor:
            if len(tokens) > most:
                failures.append(len(tokens))
                raise torch.OutOfMemoryError("full")
            return real(stream, tokens)

        return step

    monkeypatch.setattr(SlotStream, "step", small(6))
    found = write_rows(oracle_models["sft"], oracle_models["dpo"], rows, 12)
    assert failures
    assert [item.completion for item in found] == [item.completion for item in whole]
    assert [item.source_ids for item in found] == [item.source_ids for item in whole]
    monkeypatch.setattr(SlotStream, "step", small(0))
    with pytest.raises(RunError, match="out of memory with one completion"):
        write_rows(oracle_models["sft"], oracle_models["dpo"], rows, 12)


def test_hooks_and_adapters_come_off_after_an_error(oracle_models: Models) -> None:
    sft, dpo = oracle_models["sft"], oracle_models["dpo"]
    ids = torch.tensor([[1, 50, 60]])
    with sft.switched_on() as network:
        before = network(ids).logits
    with pytest.raises(IndexError):
        patch_and_generate(sft, dpo, [PatchRow((1, 10_000), NeuronSet.all(SHAPE))], 3)
    modules: Any = sft.base.model.modules()
    assert not [m for m in modules if m._forward_pre_hooks or m._forward_hooks]
    with sft.switched_on() as network:
        assert torch.equal(network(ids).logits, before)


def test_models_can_be_used_between_what_the_engine_gives(
    oracle_models: Models, oracle_prompts: list[dict[str, Any]]
) -> None:
    sft, dpo = oracle_models["sft"], oracle_models["dpo"]
    ids = torch.tensor([[1, 50, 60]])
    with sft.switched_on() as network:
        before = network(ids).logits
    models = ModelPass(sft, dpo, random_sets(1, (50,)), FromSource())
    engine = PatchEngine(models, Writing(12, Rules(frozenset({2}))), reads_source=True)
    tasks = [Task(0, i, 0, tuple(p["input_ids"]), str(i), None, 0) for i, p in enumerate(oracle_prompts)]
    given = 0
    for batch in engine.write(tasks, 4, seconds=0.0):
        given += len(batch)
        with sft.switched_on() as network:
            assert torch.equal(network(ids).logits, before)
    assert given == len(tasks)
