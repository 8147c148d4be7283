"""A guard at work in a Hugging Face model: it reads its neurons in the prefill that generation runs anyway.

Hooks on the down-projections add each layer's share of the logit at the last position of the prompt; when generation
asks for the first token's scores, the sum is there. The model runs no forward pass for it.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import nn
from transformers import LogitsProcessor, StoppingCriteria

from snql.errors import InputError, ModelError, RunError
from snql.guard.parts import Linear
from snql.models import hooks
from snql.models.architectures import architecture_of
from snql.models.experts import use_hookable_experts
from snql.models.sites import Site, find_sites
from snql.neurons.sets import NeuronSet, Shape


class Attached:
    """A guard that watches a model within a ``with`` block.

    Give :attr:`logits_processor` and :attr:`stopping_criteria` to ``model.generate``; each row of the batch is decided
    by itself. Prompts are padded on the left. A row that is refused gets the tokens of ``refusal`` and the end of the
    sequence, or begins with ``prefix`` and goes on; all others are as without the guard. A server with a loop of its
    own calls :meth:`decide` after the prefill instead. Beam search and assisted decoding are not supported.
    """

    def __init__(
        self,
        neurons: NeuronSet,
        linear: Linear,
        model: Any,
        refusal: Sequence[int],
        prefix: Sequence[int],
        threshold: float,
    ) -> None:
        if refusal and prefix:
            raise InputError("a guard refuses or begins the answer, not both: give refusal or prefix")
        if not 0 <= threshold <= 1:
            raise InputError(f"`threshold` {threshold:g} is no probability: use 0 to 1")
        self._network: nn.Module = model.get_base_model() if hasattr(model, "get_base_model") else model
        self._sites = _sites(self._network)
        _check_shape(neurons.shape, self._sites)
        weights, self._intercept = linear.folded()
        self._weights = {
            layer: torch.from_numpy(weights[neurons.layers == layer].copy()) for layer in neurons.by_layer()
        }
        self._columns = {layer: torch.from_numpy(columns.copy()) for layer, columns in neurons.by_layer().items()}
        self._routed, self._threshold = neurons.shape.routed, threshold
        self._parts: dict[int, torch.Tensor] = {}
        self._hooks = ExitStack()
        self._reading, self._fresh, self._n_rows = False, True, 0
        self._decided: torch.Tensor | None = None
        forcing = _Forcing(self, prefix or refusal, None if prefix else _end(model), ends=not prefix)
        self.logits_processor: LogitsProcessor = forcing
        self.stopping_criteria: StoppingCriteria = _Stopping(self, forcing.n_tokens, ends=not prefix)

    def __enter__(self) -> "Attached":
        before = self._network.register_forward_pre_hook(self._begin, with_kwargs=True)
        self._hooks.callback(before.remove)
        try:
            self._hooks.enter_context(hooks.reading(self._sites, self._columns, self._add, lambda: self._n_rows))
        except BaseException:
            self._hooks.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._hooks.close()

    @property
    def probabilities(self) -> torch.Tensor:
        """Of a harmful answer, of each row of the last batch: Float64[Tensor, "rows"]. Raises RunError before any."""
        if self._decided is None:
            raise RunError("the guard has read no prompt yet: run the model within its block first")
        return self._decided

    @property
    def refused(self) -> torch.Tensor:
        """Which rows of the last batch reach the threshold: Bool[Tensor, "rows"]."""
        return self.probabilities >= self._threshold

    def decide(self) -> torch.Tensor:
        """The probabilities of the prompts that were read last. Raises RunError if none was, or one is not finite."""
        if not self._parts:
            raise RunError("the guard has read no prompt yet: run the model within its block first")
        device = next(iter(self._parts.values())).device
        logits = sum(
            (part.to(device) for part in self._parts.values()), start=torch.tensor(self._intercept, dtype=torch.float64)
        )
        if not bool(torch.isfinite(logits).all()):
            raise RunError("an activation that the guard reads is not finite: the weights or this dtype are unsound")
        self._decided, self._fresh = torch.sigmoid(logits), False
        return self._decided

    @property
    def fresh(self) -> bool:
        """Whether a prompt has been read since the last decision, by a model that keeps a cache."""
        return self._fresh

    def _begin(self, _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Before each forward pass: whether it reads a prompt. A cache that is still empty says so."""
        given = args[0] if args else kwargs.get("input_ids")
        given = kwargs.get("inputs_embeds") if given is None else given
        cache = kwargs.get("past_key_values")
        if cache is not None and int(cache.get_seq_length()) == 0:
            self._fresh = True
        self._reading = given is not None and (cache is None or self._fresh)
        if self._reading and given is not None:
            _check_padding(kwargs.get("attention_mask"))
            self._n_rows = int(given.shape[0])
            self._parts.clear()

    def _add(self, layer: int, activations: torch.Tensor) -> None:
        if not self._reading:
            return
        last, columns = activations[:, -1], self._columns[layer].to(activations.device)
        self._columns[layer] = columns
        self._weights[layer] = self._weights[layer].to(activations.device)
        # An expert that a token was not sent to has no activations: they count as 0.
        chosen = last.index_select(1, columns).double()
        if self._routed:
            chosen = chosen.nan_to_num(nan=0.0)
        self._parts[layer] = chosen @ self._weights[layer]


class _Forcing(LogitsProcessor):
    """Lets refused rows write the given tokens, and then the end of the sequence if ``ends``."""

    def __init__(self, guard: Attached, tokens: Sequence[int], end: int | None, *, ends: bool) -> None:
        self._guard = guard
        self._tokens = [*tokens, *([] if end is None else [end])]
        self._ends = ends
        self._read: torch.Tensor | None = None
        self._step = 0

    @property
    def n_tokens(self) -> int:
        """How many tokens are forced."""
        return len(self._tokens)

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        self._step = self._step + 1 if self._goes_on(input_ids) else self._decide()
        self._read = input_ids.clone()
        token = self._token()
        if token is None:
            return scores
        forced = torch.full_like(scores, -torch.inf)
        forced[:, token] = 0
        refused = self._guard.refused.to(scores.device)[:, None]
        return torch.where(refused, forced, scores)  # type: ignore[return-value]

    def _goes_on(self, ids: torch.Tensor) -> bool:
        """Whether these are the texts of the last call, a token longer."""
        read = self._read
        if read is None or self._guard.fresh or read.shape != (len(ids), ids.shape[1] - 1):
            return False
        return bool(torch.equal(ids[:, :-1], read))

    def _decide(self) -> int:
        self._guard.decide()
        return 0

    def _token(self) -> int | None:
        if self._step < len(self._tokens):
            return self._tokens[self._step]
        return self._tokens[-1] if self._ends and self._tokens else None


class _Stopping(StoppingCriteria):
    """Ends refused rows once their refusal is written: for models that have no end of the sequence."""

    def __init__(self, guard: Attached, n_tokens: int, *, ends: bool) -> None:
        self._guard, self._n_tokens, self._ends = guard, n_tokens, ends
        self._begun: torch.Tensor | None = None
        self._calls = 0

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor, **_: Any) -> torch.BoolTensor:  # noqa: ARG002
        if self._begun is not self._guard.probabilities:
            self._begun, self._calls = self._guard.probabilities, 0
        self._calls += 1
        over = self._ends and self._calls >= max(1, self._n_tokens)
        refused = self._guard.refused.to(input_ids.device)
        if len(refused) != len(input_ids):
            raise RunError("a guard does not go with beam search: use num_beams=1")
        return refused if over else torch.zeros_like(refused)  # type: ignore[return-value]


def _sites(network: Any) -> list[Site]:
    architecture = architecture_of(network)
    if architecture.experts is not None:
        use_hookable_experts(network)
    return find_sites(network, architecture)


def _check_shape(wanted: Shape, sites: Sequence[Site]) -> None:
    found = Shape(len(sites), sites[0].n_neurons, sites[0].n_experts)
    if found != wanted:
        raise ModelError(f"the guard reads a model with {wanted} neurons, this one has {found}: use its own model")


def _check_padding(mask: Any) -> None:
    if isinstance(mask, torch.Tensor) and mask.dim() == 2 and not bool(mask[:, -1].all()):
        raise RunError("prompts are padded on the right: a guard reads their last token; use padding_side='left'")


def _end(model: Any) -> int | None:
    """The token that ends a sequence, if the model has one; of several the first."""
    configured = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    first = configured[0] if isinstance(configured, list) and configured else configured
    return first if isinstance(first, int) else None
