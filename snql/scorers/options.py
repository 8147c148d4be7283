"""Rankings by one model, and comparisons of scorers."""

from dataclasses import dataclass, replace
from typing import Annotated

from typing_extensions import Doc

from snql.contrast.options import SCORERS_HELP, LocateOptions, SkipLastLayers
from snql.contrast.scorers import CONTRAST, ONE_MODEL
from snql.errors import InputError
from snql.generation.options import WritingOptions
from snql.jobs.options import Seed, check_seed
from snql.judges.options import JudgingOptions
from snql.models.options import LoadOptions
from snql.options import Flag, Inside, Joined, Rare, config
from snql.patching.options import PatchOptions, Random
from snql.prompts.options import ContrastPrompts, NeutralPrompts, PromptOptions

ALL = (*CONTRAST, *ONE_MODEL)
_UNUSED = {
    "prompt-difference": {"utility_share", "specific_share"},
    "wanda": {"neutral", "universal_top", "universal_share", "specific_share"},
    "safety-specific": {"contrast", "neutral", "universal_top", "universal_share", "utility_share"},
}
"""What a scorer does not read is not stored."""


@dataclass(frozen=True, kw_only=True)
class ScorerOptions:
    """How one model's neurons are ranked: shares are of the neurons of all ranked layers, ``universal_top`` of one
    layer's."""

    scorer: Annotated[str, Doc(SCORERS_HELP)]
    model: Annotated[str, Doc("The model, for scorers of one model.")]
    prompts: PromptOptions = PromptOptions()
    contrast: ContrastPrompts = ()
    neutral: NeutralPrompts = ()
    universal_top: Annotated[int, Doc("A universal neuron is among so many of its layer, ..."), Rare()] = 50
    universal_share: Annotated[float, Doc("... for at least this share of the neutral prompts."), Rare()] = 0.8
    utility_share: Annotated[float, Doc("wanda leaves out this top share on `contrast`."), Rare()] = 0.05
    specific_share: Annotated[
        float, Doc("safety-specific keeps neurons in this top share on every prompt."), Rare()
    ] = 0.05
    skip_last_layers: SkipLastLayers = 1
    seed: Seed = 0
    models: LoadOptions = LoadOptions()

    def __post_init__(self) -> None:
        if self.scorer not in ONE_MODEL:
            raise InputError(f"scorer {self.scorer!r} is none of one model: use {', '.join(ONE_MODEL)}")
        for name in ("universal_share", "utility_share", "specific_share"):
            if not 0 < getattr(self, name) <= 1:
                raise InputError(f"`{name}` {getattr(self, name)} is no share: use one above 0, up to 1")
        if self.universal_top < 1 or self.skip_last_layers < 0:
            raise InputError("`universal_top` must be at least 1, `skip_last_layers` at least 0")
        if self.scorer == "prompt-difference" and not self.contrast:
            raise InputError("scorer prompt-difference compares two sets of prompts: give `contrast`")
        if self.scorer == "safety-specific" and self.contrast:
            raise InputError("scorer safety-specific reads one set of prompts: leave out `contrast`")
        if self.scorer != "prompt-difference" and self.neutral:
            raise InputError(f"`neutral` are for the filter of prompt-difference: {self.scorer} has none")
        check_seed(self.seed)

    def config(self) -> dict[str, object]:
        """The canonical configuration: everything that the numbers depend on."""
        return {key: value for key, value in config(self).items() if key not in _UNUSED[self.scorer]} | {
            "before": self.model,
            "after": self.model,
            "positions": "last-prompt" if self.scorer == "prompt-difference" else "prompt",
            "keep": "none",
        }


@dataclass(frozen=True, kw_only=True)
class CompareOptions:
    """Which scorers are compared, and how: scorers of one model read the model after."""

    before: Annotated[str, Doc("Model before alignment: it is patched.")]
    after: Annotated[str, Doc("Model after alignment.")]
    prompts: Annotated[
        PromptOptions, Inside(required=("prompts",), without=("prompt_column", "where", "disjoint_from"))
    ] = PromptOptions()
    evaluate: Annotated[tuple[str, ...], Doc("Prompts to answer and judge; repeatable."), Flag("--evaluate-prompts")]
    judging: Annotated[
        JudgingOptions,
        Inside(without=("judge_signs", "rubric"), docs={"judges": "As for `snql patch`; repeatable."}),
    ]
    contrast: ContrastPrompts = ()
    neutral: NeutralPrompts = ()
    scorers: Annotated[tuple[str, ...], Doc("Scorers, with commas between."), Joined()] = ALL
    top: Annotated[str, Doc("Size of the sets: 5%, or neurons.")] = "5%"
    random: Random = 5
    writing: WritingOptions = WritingOptions()
    skip_last_layers: SkipLastLayers = 1
    seed: Seed = 0
    models: LoadOptions = LoadOptions()

    def __post_init__(self) -> None:
        unknown = [scorer for scorer in self.scorers if scorer not in ALL]
        if unknown:
            raise InputError(f"scorer {unknown[0]!r} is not known: use {', '.join(ALL)}")
        if len(set(self.scorers)) < 2:
            raise InputError("one scorer has nothing to be compared with: name two in `scorers`, or leave it out")
        if not self.contrast and {"prompt-difference", "wanda"} & set(self.scorers):
            raise InputError(
                "prompt-difference and wanda need harmless prompts: give `contrast`, or leave them out of `scorers`"
            )
        share_of(self.top)

    def locating(self) -> LocateOptions:
        """How change scores are found, which say how large every set is."""
        return LocateOptions(
            before=self.before,
            after=self.after,
            prompts=self.prompts,
            writing=self.writing,
            skip_last_layers=self.skip_last_layers,
            keep="none",
            seed=self.seed,
            models=self.models,
        )

    def scoring(self, scorer: str) -> ScorerOptions:
        """How a scorer of one model ranks the model after, given what it reads."""
        return ScorerOptions(
            scorer=scorer,
            model=self.after,
            prompts=self.prompts,
            contrast=() if scorer == "safety-specific" else self.contrast,
            neutral=self.neutral if scorer == "prompt-difference" else (),
            skip_last_layers=self.skip_last_layers,
            seed=self.seed,
            models=self.models,
        )

    def patching(self, tops: tuple[str, ...]) -> PatchOptions:
        """How the tops of the rankings are patched."""
        return PatchOptions(
            recipient=self.before,
            donor=self.after,
            neurons=tops,
            prompts=replace(self.prompts, prompts=self.evaluate, prompt_column=None, where=None),
            judging=self.judging,
            random=self.random,
            writing=self.writing,
            seed=self.seed,
            models=self.models,
        )

    def size(self, n_ranked: int) -> int:
        """How many neurons the top of so many ranked ones has."""
        share = share_of(self.top)
        return max(1, round(share * n_ranked)) if share is not None else min(int(float(self.top)), n_ranked)


def share_of(top: str) -> float | None:
    """The share of a size like 5%, None for a number of neurons."""
    text = top.removesuffix("%")
    try:
        value = float(text)
    except ValueError as error:
        raise InputError(f"`top` {top!r} is no size: write a share such as 5%, or a number of neurons") from error
    if value <= 0 or (top.endswith("%") and value > 100) or (not top.endswith("%") and value != int(value)):
        raise InputError(f"`top` {top!r} is no size: write a share such as 5%, or a number of neurons")
    return value / 100 if top.endswith("%") else None
