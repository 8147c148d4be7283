"""Which of a data set's prompts are used: each once, none that was seen elsewhere, a sample, the first few."""

import hashlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from snql.errors import InputError
from snql.prompts.types import RawPrompt


@dataclass(frozen=True)
class SetCounts:
    """What became of the rows of one data set: ``rows`` is the sum of all that follow it.

    blank: rows without text; filtered: by --where; duplicates: repeated here or in an earlier set; overlapping: prompts
    of the runs of --disjoint-from; unsampled: by --sample; cut: by --limit; kept: the prompts that are used.
    """

    dataset: str
    rows: int
    filtered: int
    blank: int
    duplicates: int
    overlapping: int
    unsampled: int
    cut: int
    kept: int

    def summary(self) -> str:
        """In words, such as ``x.csv: 520 rows, 20 dropped as duplicates, 500 used``."""
        steps = {
            "not chosen by --where": self.filtered,
            "without text": self.blank,
            "dropped as duplicates": self.duplicates,
            "left out because a ranking or another run used them": self.overlapping,
            "not in the sample": self.unsampled,
            "cut by --limit": self.cut,
        }
        parts = [f"{self.rows} rows", *(f"{n} {what}" for what, n in steps.items() if n), f"{self.kept} used"]
        return f"{self.dataset}: {', '.join(parts)}"


@dataclass(frozen=True)
class Limits:
    """How many prompts of each set are used."""

    sample: int | None = None
    seed: int = 0
    limit: int | None = None


def select(
    dataset: str,
    n_rows: int,
    found: Sequence[RawPrompt | None],
    seen: Collection[str],
    excluded: Collection[str],
    limits: Limits,
) -> tuple[list[RawPrompt], SetCounts]:
    """The prompts of one set that are used, in the file's order, and the counts of the others.

    found: one entry a row that --where chose, None for one without text. seen and excluded: SHA-256 of the texts that
    earlier sets use, and of those that must not be used. Raises InputError if nothing is left.
    """
    prompts = [prompt for prompt in found if prompt is not None]
    distinct: dict[str, RawPrompt] = {}
    for prompt in prompts:
        if prompt.sha256 not in seen:
            distinct.setdefault(prompt.sha256, prompt)
    allowed = [prompt for sha256, prompt in distinct.items() if sha256 not in excluded]
    sampled = _sampled(allowed, limits)
    kept = sampled[: limits.limit]
    counts = SetCounts(
        dataset,
        rows=n_rows,
        filtered=n_rows - len(found),
        blank=len(found) - len(prompts),
        duplicates=len(prompts) - len(distinct),
        overlapping=len(distinct) - len(allowed),
        unsampled=len(allowed) - len(sampled),
        cut=len(sampled) - len(kept),
        kept=len(kept),
    )
    _check(counts, prompts, len(distinct))
    return kept, counts


def _sampled(prompts: list[RawPrompt], limits: Limits) -> list[RawPrompt]:
    """The ``sample`` prompts whose hash with the seed is lowest, in their order.

    So a sample depends on nothing but the seed and the texts, and a larger one contains a smaller one.
    """
    if limits.sample is None:
        return prompts
    drawn = sorted(prompts, key=lambda prompt: _lot(prompt, limits.seed))[: limits.sample]
    chosen = {prompt.sha256 for prompt in drawn}
    return [prompt for prompt in prompts if prompt.sha256 in chosen]


def _lot(prompt: RawPrompt, seed: int) -> str:
    return hashlib.sha256(f"{seed} {prompt.sha256}".encode()).hexdigest()


def _check(counts: SetCounts, prompts: Sequence[RawPrompt], n_distinct: int) -> None:
    """Raise InputError, saying which step took the prompts, unless some are left."""
    name = counts.dataset
    if counts.rows == counts.blank:
        raise InputError(f"prompt file {name} holds no prompts: it is empty or its prompt column is")
    if not prompts:
        chosen = f"it chose {counts.rows - counts.filtered} of {counts.rows} rows, {counts.blank} of them without text"
        raise InputError(f"`where` leaves no prompt of {name}: {chosen}; change the condition")
    if not n_distinct:
        raise InputError(f"all {len(prompts)} prompts of {name} are duplicates of earlier sets' prompts: leave it out")
    if not counts.filtered and len(prompts) > 1 and len({prompt.sha256 for prompt in prompts}) == 1:
        raise InputError(
            f"all {len(prompts)} prompts of {name} are duplicates of one another: check `prompt_column`, or write the "
            "prompt once"
        )
    if not counts.kept:
        raise InputError(
            f"no prompt of {name} is left: of {counts.rows} rows, `where` removed {counts.filtered}, "
            f"{counts.duplicates} were duplicates, and {counts.overlapping} were used by the runs to be disjoint from; "
            "give other prompts, or `allow_overlap` if they should be the same"
        )


def summaries(counts: Iterable[SetCounts]) -> list[str]:
    """One line a data set that lost prompts to duplicates or to other runs."""
    return [each.summary() for each in counts if each.duplicates or each.overlapping]
