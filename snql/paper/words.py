"""The results in words: the page docs/paper.md, and the same file of every run."""

from collections.abc import Sequence
from itertools import groupby

from snql.paper.beside import Beside
from snql.paper.files import Claim, Recipe, Scale
from snql.paper.results import AGAIN, HOLDS, MISSING, SHOWN, VERDICTS, Outcome, published
from snql.writing import inert
from snql.writing import markdown as tables
from snql.writing.words import count, listing

_SMALLEST = 1e-12
HEADS = ("claim", "published", "ours", "n", "random, or chance", "holds if", "verdict")


def number(value: float | None, *, percent: bool = False) -> str:
    """A value with three figures; percent: of a share. What is 0 but for rounding is 0."""
    if value is None:
        return ""
    if abs(value) < _SMALLEST:
        return "0"
    if percent:
        return f"{100 * value:.3g}%"
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def in_percent(published: str) -> bool:
    """Whether the paper gives shares in percent, so that ours are shown so, too."""
    return "%" in published


def _percent(claim: Claim) -> bool:
    return any(map(in_percent, claim.published.values()))


def ours(outcome: Outcome) -> str:
    """The value with its interval, in the paper's unit; says so where there is no value."""
    if outcome.value is None:
        return "none"
    unit = _percent(outcome.claim)
    low, high = (number(end, percent=unit) for end in (outcome.low, outcome.high))
    ends = f" [{low}, {high}]" if outcome.low is not None else ""
    return number(outcome.value, percent=unit) + ends


def rule(claim: Claim) -> str:
    """The test of a claim, and where its bound is from."""
    if claim.rule is None:
        return ""
    kind, bound = claim.rule
    limit = f"{100 * bound:g}%" if _percent(claim) else f"{bound:g}"
    words = f"within ±{limit}" if kind == "within" else f"{'>' if kind == 'above' else '<'} {limit}"
    drawn = "" if claim.nulls is None else f"; nulls: {claim.nulls[0]} of {claim.nulls[1]}"
    return f"{words} ({claim.why}{drawn})"


def cells(outcome: Outcome, scale: Scale, *, first: bool) -> tuple[str, ...]:
    """One row: the claim's own cells are in its first row only."""
    claim = outcome.claim
    own = (claim.says, published(claim, scale)) if first else ("", "")
    label = f"{outcome.label}: " if outcome.label else ""
    return (
        *own,
        label + ours(outcome),
        "" if outcome.n is None else f"{outcome.n:,}",
        number(outcome.chance, percent=_percent(outcome.claim)),
        rule(claim) if first else "",
        outcome.verdict,
    )


def heads(besides: Sequence[Beside] = ()) -> tuple[str, ...]:
    """Of the table of a recipe, with a column for each scale beside ours."""
    place = HEADS.index("ours") + 1
    return (*HEADS[:place], *(each.name for each in besides), *HEADS[place:])


def rows(
    outcomes: Sequence[Outcome], scale: Scale, recipe: str = "", besides: Sequence[Beside] = ()
) -> list[tuple[str, ...]]:
    """The rows of one recipe's table, in their order; of a claim that has more rows at another scale, those below."""
    place = HEADS.index("ours") + 1
    made = []
    for _, group in groupby(outcomes, key=lambda each: id(each.claim)):
        own = list(group)
        theirs = [each.of(recipe, own[0].claim.says) for each in besides]
        for number_of, outcome in enumerate(own):
            found = cells(outcome, scale, first=number_of == 0)
            extra = tuple(texts.pop(outcome.label, "") for texts in theirs)
            made.append((*found[:place], *extra, *found[place:]))
        while any(theirs):
            extra = tuple(_next(texts) for texts in theirs)
            made.append((*[""] * place, *extra, *[""] * (len(HEADS) - place)))
    return made


def _next(texts: dict[str, str]) -> str:
    """The next row of another scale, with its label, taken out."""
    if not texts:
        return ""
    label = next(iter(texts))
    return f"{label}: {texts.pop(label)}" if label else texts.pop(label)


def counts(outcome: Outcome) -> bool:
    """Whether a row tests a claim that no other row tests by the same measurement."""
    return outcome.claim.tested and outcome.verdict not in (SHOWN, AGAIN)


def summary(found: Sequence[tuple[Recipe, Sequence[Outcome]]]) -> list[str]:
    """What holds and what does not, in sentences."""
    tested = [(recipe, one) for recipe, outcomes in found for one in outcomes if counts(one)]
    holding = sum(one.verdict == HOLDS for _, one in tested)
    telling = [one for _, one in tested if one.claim.distinguishes]
    lines = [
        f"Of {count(len(tested), 'independent tested row')}, {holding} agree with the paper.",
        f"{count(len(telling), 'row')} can tell these adapters from contentless ones, which fail in at least nine of "
        f"ten draws: {sum(one.verdict == HOLDS for one in telling)} agree.",
    ]
    for verdict in (name for name in VERDICTS if name != HOLDS):
        names = list(dict.fromkeys(recipe.name for recipe, one in tested if one.verdict == verdict))
        number_of = sum(one.verdict == verdict for _, one in tested)
        if names:
            lines.append(f"{count(number_of, 'row')} “{verdict}”: {listing(names, 30)}.")
    if any(one.verdict == MISSING for _, outcomes in found for one in outcomes):
        lines.append("Rows that were not run have no data in this database.")
    return lines


def markdown(
    found: Sequence[tuple[Recipe, Sequence[Outcome]]],
    scale: Scale,
    commands: Sequence[Sequence[str]],
    besides: Sequence[Beside] = (),
) -> str:
    """The whole page. commands: the command lines of each recipe; besides: other scales, in columns of their own."""
    parts = [
        "# The paper's figures and tables, ours beside the published",
        f"Scale: {inert.markdown(scale.title)}. Each section is one recipe: `snql paper NAME --scale {scale.name}` "
        f"runs it, `snql paper --all --scale {scale.name}` all of them. Square brackets are 95% intervals "
        "over prompts unless a row says otherwise.",
        " ".join(summary(found)),
        "A verdict is computed by the rule in its row; where the bound is not the paper's own, it says *ours*:",
        "\n".join(f"- **{name}**: {words}." for name, words in VERDICTS.items()),
    ]
    for (recipe, outcomes), lines in zip(found, commands, strict=True):
        parts.append(f"## {recipe.name}: {recipe.title} ({recipe.source})")
        if outcomes:
            table = rows(outcomes, scale, recipe.name, besides)
            parts.append("\n".join(tables.lines(heads(besides), [False] * len(heads(besides)), table)))
        parts.append("*Why a small model differs.* " + " ".join(recipe.note.split()))
        parts.append("```sh\n" + "\n".join(lines) + "\n```")
    return "\n\n".join(parts) + "\n"
