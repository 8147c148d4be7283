"""What share of one model's divergence from another a patch closes, pooled over tokens."""

from collections.abc import Sequence
from dataclasses import dataclass

from snql.stats.effects import Array, ratio_interval, share_interval
from snql.stats.interval import Interval


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
    prompt, which has no interval. No test of a gap: a divergence is never below 0.
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
    """The closings of several sets on the same prompts.

    n_tokens: Float64["prompts"]; kl and agreeing: sums over each prompt's tokens, Float64["prompts variants"], the
    recipient's in column 0. floor: the divergence per token that rounding alone may make.
    """

    def __init__(self, n_tokens: Array, kl: Array, agreeing: Array, floor: float) -> None:
        self._n_tokens, self._kl, self._agreeing = n_tokens, kl, agreeing
        self._defined = bool(kl[:, 0].sum() / n_tokens.sum() > floor)

    def of(self, column: int, controls: Sequence[int] = ()) -> Closing:
        """The closing of the variant in a column, compared with the mean of its controls'."""
        patched = self._kl[:, column]
        return Closing(
            n_prompts=len(self._kl),
            n_tokens=int(self._n_tokens.sum()),
            kl_recipient=self._per_token(self._kl[:, 0]),
            kl_recipient_interval=ratio_interval(self._kl[:, 0], self._n_tokens),
            kl_patched=self._per_token(patched),
            kl_patched_interval=ratio_interval(patched, self._n_tokens),
            closed=self._share(self._kl[:, 0] - patched),
            agreement_recipient=self._per_token(self._agreeing[:, 0]),
            agreement_patched=self._per_token(self._agreeing[:, column]),
            over=self._over(patched, controls) if controls else None,
        )

    def _per_token(self, sums: Array) -> float:
        return float(sums.sum() / self._n_tokens.sum())

    def _share(self, closed: Array) -> Interval | None:
        """What was closed, by prompt, as a share of the recipient's divergence."""
        return share_interval(closed, self._kl[:, 0]) if self._defined else None

    def _over(self, patched: Array, controls: Sequence[int]) -> Over:
        theirs = self._kl[:, list(controls)].mean(axis=1)
        share = self._share(self._kl[:, 0] - theirs)
        return Over(len(controls), None if share is None else share.value, self._share(theirs - patched))
