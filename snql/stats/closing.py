"""What share of one model's divergence from another a patch closes, pooled over tokens."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from snql.stats.effects import Array, Interval
from snql.stats.pooled import resampled_sums


@dataclass(frozen=True)
class Over:
    """What a set closes beyond its random controls: the controls' mean share, and the difference to it."""

    n_controls: int
    controls_closed: float | None
    difference: Interval | None


@dataclass(frozen=True)
class Closing:
    """A set's divergence beside the recipient's, per token in nats; agreement: share of tokens.

    closed: 1 - kl_patched / kl_recipient; None where the recipient's divergence is no more than the floor, or with one
    prompt, which has no interval.
    """

    n_prompts: int
    n_tokens: int
    kl_recipient: float
    kl_recipient_interval: Interval | None
    kl_patched: float
    kl_patched_interval: Interval | None
    closed: Interval | None
    agreement_recipient: float
    agreement_patched: float
    over: Over | None


class Closings:
    """The closings of several sets on the same prompts, with the same resamples of these.

    n_tokens: Float64["prompts"]; kl and agreeing: sums over each prompt's tokens, Float64["prompts variants"], the
    recipient's in column 0. floor: the divergence per token that rounding alone may make.
    """

    def __init__(self, n_tokens: Array, kl: Array, agreeing: Array, floor: float, seed: int) -> None:
        self._n_prompts, self._n = kl.shape
        values = np.concatenate([n_tokens[:, None], kl, agreeing], axis=1)
        self._sums = resampled_sums(values, seed)
        self._defined = self._sums.resampled is not None and self._sums.of[1] / self._sums.of[0] > floor

    def of(self, column: int, controls: Sequence[int] = ()) -> Closing:
        """The closing of the variant in a column, compared with the mean of its controls'."""
        sums, recipient, patched = self._sums, 1, 1 + column
        kl_recipient, recipient_interval = sums.ratio(recipient, 0)
        kl_patched, patched_interval = sums.ratio(patched, 0)
        return Closing(
            self._n_prompts,
            int(sums.of[0]),
            kl_recipient,
            recipient_interval,
            kl_patched,
            patched_interval,
            self._closed([column]),
            float(sums.of[1 + self._n] / sums.of[0]),
            float(sums.of[1 + self._n + column] / sums.of[0]),
            self._over(column, controls) if controls else None,
        )

    def _closed(self, columns: Sequence[int]) -> Interval | None:
        """The mean share that these close."""
        if not self._defined or self._sums.resampled is None:
            return None
        return self._sums.interval(_share(self._sums.of[None], columns)[0], _share(self._sums.resampled, columns))

    def _over(self, column: int, controls: Sequence[int]) -> Over:
        theirs = self._closed(controls)
        if theirs is None or self._sums.resampled is None:
            return Over(len(controls), None, None)
        of, resampled = (
            _share(sums, [column]) - _share(sums, controls) for sums in (self._sums.of[None], self._sums.resampled)
        )
        return Over(len(controls), theirs.value, self._sums.interval(of[0], resampled))


def _share(sums: Array, columns: Sequence[int]) -> Array:
    """1 - mean KL of some variants / KL of the recipient, of each row of sums."""
    patched = sums[:, [1 + column for column in columns]].mean(axis=1)
    # A resample can still have no divergence at all; what it closes of nothing is nothing.
    with np.errstate(divide="ignore", invalid="ignore"):
        shares: Array = np.where(sums[:, 1] > 0, 1 - patched / sums[:, 1], 0.0)
    return shares
