"""A model reading texts that come and go: each text has a slot, a row of one batch with one key-value cache.

The cache is allocated ahead, so that a step writes its column in place. A text that ends gives its slot to another one,
and a text that goes on in two ways is copied: both cost the copy of a row, not of the cache.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import Cache, DynamicCache
from transformers.cache_utils import DynamicLayer, LinearAttentionCacheLayerMixin

from snql.errors import InputError
from snql.generation.batch import left_padded
from snql.models.loaded import LoadedModel

_SPARE_COLUMNS = 64
_SPARE_ROWS = 1.25


def check_cache(model: LoadedModel) -> None:
    """Raise InputError for a model whose layers keep a state other than keys and values: its texts cannot be parted."""
    cache = DynamicCache(config=model.base.model.config)
    if any(isinstance(layer, LinearAttentionCacheLayerMixin) for layer in cache.layers):
        raise InputError(
            f"model {model.spec.text} (type {model.base.model_type}) mixes attention with recurrent layers, whose "
            "states snql cannot patch beside others: use a model with attention alone"
        )


@dataclass
class _Window:
    """What of the buffers is in use: rows [0, rows), columns [first, last)."""

    rows: int = 0
    first: int = 0
    last: int = 0


class _SlotLayer(DynamicLayer):  # type: ignore[no-untyped-call]
    """One layer's keys and values: Float[Tensor, "slots heads columns width"], of which the window is in use."""

    def __init__(self, window: _Window, keys: torch.Tensor, values: torch.Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._window = window
        self.dtype, self.device = keys.dtype, keys.device
        self.is_initialized = True
        self.held = [part.new_zeros(0, part.shape[1], 0, part.shape[3]) for part in (keys, values)]

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_args: object, **_kwargs: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        window = self._window
        end = window.last + key_states.shape[-2]
        for held, new in zip(self.held, (key_states, value_states), strict=True):
            held[: window.rows, :, window.last : end] = new
        keys, values = (held[: window.rows, :, window.first : end] for held in self.held)
        return keys, values

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns of the buffers."""
        return self.held[0].shape[0], self.held[0].shape[2]

    def get_seq_length(self) -> int:
        return self._window.last - self._window.first

    def resize(self, rows: int, columns: int, at: int) -> None:
        """New buffers, zero where nothing was; what is in use begins at column ``at``."""
        window = self._window
        for index, old in enumerate(self.held):
            new = old.new_zeros(rows, old.shape[1], columns, old.shape[3])
            used = old[: window.rows, :, window.first : window.last]
            new[: window.rows, :, at : at + used.shape[2]] = used
            self.held[index] = new


@dataclass(frozen=True)
class Fresh:
    """Texts that have been read in a batch of their own and have no slot yet.

    logits: after each of their last tokens, Float[Tensor, "texts kept vocabulary"]. held: each layer's keys and values,
    Float[Tensor, "texts heads columns width"].
    """

    logits: torch.Tensor
    lengths: list[int]
    held: list[tuple[torch.Tensor, torch.Tensor]]


class SlotStream:
    """One model and the texts that it reads. Slots are numbered from 0 without gaps."""

    def __init__(self, model: LoadedModel) -> None:
        self.model = model
        self._window = _Window()
        self._lengths: list[int] = []
        self._layers: list[_SlotLayer] = []
        self._cache: Cache | None = None

    @property
    def n_rows(self) -> int:
        """Texts that have slots."""
        return self._window.rows

    def read(self, texts: Sequence[Sequence[int]], width: int, keep: int = 1) -> Fresh:
        """Read new texts to their ends, left-padded to ``width``; logits are kept of the last ``keep`` tokens."""
        base = self.model.base
        batch = left_padded(texts, base.pad_id, base.device, width)
        # No sliding layers, which drop columns: a mask does for them what they do.
        cache = DynamicCache()
        logits = self.model.logits(batch.ids, batch.mask, batch.positions, cache, keep)
        held = [(keys, values) for layer in cache.layers for keys, values in [(layer.keys, layer.values)]]  # type: ignore[union-attr]
        return Fresh(logits, [len(text) for text in texts], held)  # type: ignore[arg-type]

    def scan(self, texts: Sequence[Sequence[int]], width: int, keep: int) -> torch.Tensor:
        """Read texts that will not go on, so with no cache; logits as :meth:`read` gives them."""
        batch = left_padded(texts, self.model.base.pad_id, self.model.base.device, width)
        return self.model.logits(batch.ids, batch.mask, batch.positions, keep=keep)

    def place(self, fresh: Fresh, texts: Sequence[int], lengths: Sequence[int] | None = None) -> None:
        """Give the next slots to these of the fresh texts (by index; one may be given several slots).

        lengths: how many tokens of each text are kept, its first ones; None for all.
        """
        if not texts:
            return
        whole = [fresh.lengths[text] for text in texts]
        window, lengths = self._window, whole if lengths is None else list(lengths)
        if not self._layers:
            self._layers = [_SlotLayer(window, keys, values) for keys, values in fresh.held]
            self._cache = Cache(layers=[*self._layers])
        longest = max(lengths)
        if window.rows == 0:
            window.first = window.last = min(longest, self._layers[0].size[1])
        self._make_room(window.rows + len(texts), left=longest - (window.last - window.first))
        slots = slice(window.rows, window.rows + len(texts))
        columns = slice(window.last - longest, window.last)
        # Texts end at the right: what is left of one moves there by as many columns as it lost tokens.
        lost = torch.tensor([all_of - kept for all_of, kept in zip(whole, lengths, strict=True)])
        width = fresh.held[0][0].shape[2]
        origin = (torch.arange(width - longest, width) - lost[:, None]).clamp(min=0)
        for layer, given in zip(self._layers, fresh.held, strict=True):
            rows, of = torch.tensor(texts, device=layer.device)[:, None], origin.to(layer.device)
            for held, part in zip(layer.held, given, strict=True):
                held[slots, :, columns] = part[rows, :, of].transpose(1, 2)
        window.rows += len(texts)
        self._lengths += lengths
        self._trim()

    def rearrange(self, origins: Sequence[int]) -> None:
        """Let slot ``i`` hold the text that was in slot ``origins[i]``; texts that are not named are dropped."""
        if not self._layers:
            return
        moved = [(slot, origin) for slot, origin in enumerate(origins) if slot != origin]
        self._make_room(len(origins))
        if moved:
            window = self._window
            targets, sources = zip(*moved, strict=True)
            for layer in self._layers:
                to = torch.tensor(targets, device=layer.device)
                of = torch.tensor(sources, device=layer.device)
                for held in layer.held:
                    used = held[:, :, window.first : window.last]
                    used[to] = used[of]
        self._lengths = [self._lengths[origin] for origin in origins]
        self._window.rows = len(origins)
        self._trim()

    def step(self, tokens: Sequence[int]) -> torch.Tensor:
        """Add a token to each text and read it; logits of the next one: Float[Tensor, "rows vocabulary"]."""
        window, device = self._window, self.model.base.device
        if not self.n_rows:
            raise ValueError("no text has a slot")
        self._make_room(window.rows, right=1)
        lengths = torch.tensor(self._lengths, device=device)
        width = window.last - window.first
        mask = (torch.arange(width + 1, device=device) >= (width - lengths)[:, None]).long()
        ids = torch.tensor(tokens, device=device)
        logits = self.model.logits(ids[:, None], mask, lengths[:, None], self._cache)[:, -1]
        self._lengths = [length + 1 for length in self._lengths]
        window.last += 1
        return logits

    def _trim(self) -> None:
        """Leave out the columns in which every text is padding."""
        self._window.first = self._window.last - max(self._lengths, default=0)

    def _make_room(self, rows: int, *, left: int = 0, right: int = 0) -> None:
        """Buffers for this many rows, with so many free columns before and after those in use."""
        window = self._window
        have_rows, have_columns = self._layers[0].size
        if rows <= have_rows and left <= window.first and window.last + right <= have_columns:
            return
        left, width = max(left, 0), window.last - window.first
        new_rows = have_rows if rows <= have_rows else int(_SPARE_ROWS * rows)
        for layer in self._layers:
            layer.resize(new_rows, left + width + right + _SPARE_COLUMNS, left)
        window.first, window.last = left, left + width
