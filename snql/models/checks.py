"""Checks of a loaded model: that its neurons are where snql reads them, and that overwriting them matters.

A wrongly hooked model would give wrong numbers without an error, so every model is checked when it is loaded.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from snql.errors import ModelError
from snql.models import hooks
from snql.models.sites import Site

Run = Callable[[torch.Tensor], torch.Tensor]
"""Logits of a batch of token ids: Int[Tensor, "rows tokens"] to Float[Tensor, "rows tokens vocabulary"]."""

_N_ROWS, _N_TOKENS = 2, 6
_QUANTIZED = 5e-2
_TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10, torch.bfloat16: 2e-2, torch.float16: 4e-3}


def tolerance(dtype: torch.dtype, quantized: bool) -> float:
    """How far two ways of computing the same may differ, relative to the largest value."""
    return _QUANTIZED if quantized else _TOLERANCE.get(dtype, 2e-2)


@dataclass(frozen=True)
class Check:
    """One check of a model: what was looked at, whether it holds, and what was found."""

    name: str
    ok: bool
    found: str


@dataclass(frozen=True)
class Subject:
    """What is checked: sites, what the config says, and a way to run the model."""

    sites: list[Site]
    n_layers: int
    n_neurons: int | None
    hidden_size: int
    vocabulary_size: int
    device: torch.device
    run: Run
    quantized: bool = False


def check_model(subject: Subject) -> list[Check]:
    """Run every check; a check that depends on one that failed is left out."""
    checks = [_shape(subject)]
    if not checks[0].ok:
        return checks
    ids = _sample_ids(subject)
    plain = subject.run(ids)
    checks.append(_finite(plain))
    if not checks[-1].ok:
        return checks
    checks.append(_causal(subject, ids, plain))
    inputs, captured, read = _read(subject, ids)
    checks.append(Check("reading changes nothing", torch.equal(plain, read), "logits with and without hooks are equal"))
    checks.append(_by_hand(subject.sites, inputs, captured))
    checks.append(_overwriting(subject, ids))
    return checks


def require_sound(checks: list[Check], name: str) -> None:
    """Raise ModelError naming the first check that does not hold."""
    for check in checks:
        if not check.ok:
            raise ModelError(f"model {name} cannot be used soundly: {check.name}: {check.found}")


def _shape(subject: Subject) -> Check:
    found = [site.n_neurons for site in subject.sites]
    outs = {site.n_outputs for site in subject.sites}
    wanted = [subject.n_neurons or (found[0] if found else 0)] * subject.n_layers
    words = f"{len(found)} layers of {'/'.join(str(n) for n in sorted(set(found)))} neurons"
    if found != wanted:
        return Check("shape", False, f"{words} where the config says {subject.n_layers} of {wanted[0]}")
    if outs != {subject.hidden_size}:
        return Check("shape", False, f"the down-projections give {sorted(outs)} values, not {subject.hidden_size}")
    return Check("shape", True, words)


def _sample_ids(subject: Subject) -> torch.Tensor:
    ids = torch.arange(_N_ROWS * _N_TOKENS) * 7 + 3
    return (ids % subject.vocabulary_size).reshape(_N_ROWS, _N_TOKENS).to(subject.device)


def _finite(logits: torch.Tensor) -> Check:
    ok = bool(torch.isfinite(logits).all())
    return Check(
        "weights are finite", ok, "logits are finite" if ok else "logits are not finite: a weight is NaN or inf"
    )


def _causal(subject: Subject, ids: torch.Tensor, plain: torch.Tensor) -> Check:
    """A later token must not change what the model says before it."""
    other = ids.clone()
    other[:, -1] = (ids[:, -1] + 1) % subject.vocabulary_size
    before, after = plain[:, :-1], subject.run(other)[:, :-1]
    scale = float(before.abs().max()) or 1.0
    difference = float((before - after).abs().max()) / scale
    # 8-bit kernels scale activations over the whole batch, so that a later token does shift earlier ones a little.
    ok = difference <= tolerance(plain.dtype, subject.quantized)
    words = f"a later token changes earlier logits by {difference:.1e} relative"
    return Check("reads from left to right", ok, words if ok else f"{words}: not a causal language model")


def _read(subject: Subject, ids: torch.Tensor) -> tuple[dict[int, torch.Tensor], dict[int, torch.Tensor], torch.Tensor]:
    """Every layer's MLP input and neurons on a small batch, and the logits of that run."""
    inputs: dict[int, torch.Tensor] = {}
    captured: dict[int, torch.Tensor] = {}
    handles = [
        site.reader.register_forward_pre_hook(lambda _m, given, layer=site.layer: inputs.__setitem__(layer, given[0]))
        for site in subject.sites
    ]
    try:
        with hooks.reading(subject.sites, range(len(subject.sites)), captured.__setitem__, _N_ROWS):
            logits = subject.run(ids)
    finally:
        for handle in handles:
            handle.remove()
    return inputs, captured, logits


def _by_hand(sites: list[Site], inputs: dict[int, torch.Tensor], captured: dict[int, torch.Tensor]) -> Check:
    name = "neurons equal their formula"
    worst = 0.0
    for site in sites:
        if site.layer not in inputs or site.layer not in captured:
            return Check(name, False, f"layer {site.layer} was not run: its MLP is not where the table says")
        found = captured[site.layer]
        with torch.inference_mode():
            expected = site.by_hand(inputs[site.layer]).reshape(found.shape)
        scale = float(expected.abs().max()) or 1.0
        routed = ~found.isnan() if site.n_experts > 1 else torch.ones_like(found, dtype=torch.bool)
        difference = float((found - expected)[routed].abs().max()) / scale
        worst = max(worst, difference)
        if not difference <= tolerance(found.dtype, False):
            return Check(name, False, f"layer {site.layer}: captured and computed differ by {difference:.1e} relative")
    return Check(name, True, f"largest relative difference {worst:.1e} over {len(sites)} layers")


def _overwriting(subject: Subject, ids: torch.Tensor) -> Check:
    """Overwrite one neuron of each layer; an effect that cannot be seen means a hook in the wrong place.

    All layers at once: each in a row of its own, one token long, beside a row that nothing is done to. Rows of one
    batch are rounded differently, so that a small effect proves nothing there: such a layer is looked at by itself.
    """
    name = "overwriting a neuron changes the logits"
    rows = ids[:1, :1].repeat(len(subject.sites) + 1, 1)
    changed, neurons = _each_layer_in_a_row(subject, rows)
    scale = float(changed[-1].abs().max()) or 1.0
    effects = (changed[:-1] - changed[-1]).abs().amax(dim=(1, 2)) / scale
    faint = ~(effects > 10 * tolerance(changed.dtype, subject.quantized))
    for layer in faint.nonzero().flatten().tolist():
        if torch.equal(_overwritten(subject, rows[:1], layer, neurons[layer]), subject.run(rows[:1])):
            return Check(name, False, f"layer {layer}: overwriting neuron {neurons[layer]} changed nothing")
    return Check(name, True, f"in each of {len(subject.sites)} layers")


def _each_layer_in_a_row(subject: Subject, rows: torch.Tensor) -> tuple[torch.Tensor, dict[int, int]]:
    """The logits, and the neuron of each layer that was overwritten in the layer's own row."""
    neurons: dict[int, int] = {}

    def overwrite(layer: int, own: torch.Tensor) -> torch.Tensor:
        neurons[layer] = subject.sites[layer].strongest(own[layer])
        new = own.clone()
        new[layer] = _with_large(own[layer], neurons[layer])
        return new

    with hooks.rewriting(subject.sites, range(len(subject.sites)), overwrite, len(rows)):
        return subject.run(rows), neurons


def _overwritten(subject: Subject, ids: torch.Tensor, layer: int, neuron: int) -> torch.Tensor:
    """The logits with one neuron of one layer overwritten at every token."""
    with hooks.rewriting(subject.sites, [layer], lambda _layer, own: _with_large(own, neuron), len(ids)):
        return subject.run(ids)


def _with_large(own: torch.Tensor, neuron: int) -> torch.Tensor:
    """Activations, Float[Tensor, "... neurons"], with one neuron far beyond all others."""
    new = own.clone()
    new[..., neuron] = 10 * (own.nan_to_num().abs().amax() + 1)
    return new
