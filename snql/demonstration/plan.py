"""What the demo does, as data: its runs with their options. Needs no model library."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from snql.contrast.options import LocateOptions
from snql.generation.options import WritingOptions
from snql.judges.options import JudgingOptions
from snql.options import config
from snql.patching.options import DIRECTIONS, PatchOptions, TaxOptions, run_name
from snql.prompts.options import PromptOptions

RED_TEAM = ("demo:harmful", "demo:harmful-rephrased", "demo:harmful-new-families", "demo:harmful-wrapped")
JUDGES = ("demo:cost", "refusal")
TAX_JUDGES = ("demo:cost", "demo:reward")
TAX_PROMPTS = ("demo:harmful", "demo:benign")
TAX = "tax"
KEPT = ("safety", "helpful")
"""Runs that keep activations of their highest neurons."""

_WRITING = WritingOptions(max_new_tokens=48, batch_size=256)
_CONTROLS = 5

Settings = LocateOptions | PatchOptions


@dataclass(frozen=True)
class Plan:
    """The demo's runs. located: whose adapters are contrasted with the SFT model, each as a run of its name; sizes: of
    the sets of the sweep; red_team: prompt sets that the 5% are tried on; formats: of the report's figures. is_whole:
    with the alignment tax. limit: prompts of each set, all if None."""

    located: tuple[str, ...]
    sizes: tuple[str, ...]
    red_team: tuple[str, ...]
    formats: tuple[str, ...]
    is_whole: bool
    seed: int = 0
    limit: int | None = None

    @cached_property
    def rankings(self) -> dict[str, LocateOptions]:
        """The locate runs by name."""
        return {
            preference: LocateOptions(
                before="demo:sft",
                after=f"demo:{preference}",
                prompts=PromptOptions(("demo:locate",), limit=self.limit),
                writing=_WRITING,
                keep="5%" if preference in KEPT else "none",
                seed=self.seed,
            )
            for preference in self.located
        }

    @cached_property
    def patches(self) -> dict[str, PatchOptions]:
        """The patch runs by name, without those of the tax."""
        return {
            "sweep": self._patch(("safety",), RED_TEAM[:1], self.sizes),
            "transfer": self._patch(("safety:5%",), self.red_team),
        }

    @cached_property
    def tax(self) -> TaxOptions | None:
        """The alignment tax of safety and helpfulness, if it is measured."""
        if not self.is_whole:
            return None
        return TaxOptions(
            safety="safety",
            helpful="helpful",
            safety_model="demo:safety",
            helpful_model="demo:helpful",
            prompts=PromptOptions(TAX_PROMPTS, limit=self.limit),
            judging=JudgingOptions(TAX_JUDGES),
            random=_CONTROLS,
            writing=_WRITING,
            seed=self.seed,
        )

    @property
    def configs(self) -> dict[tuple[str, str], Mapping[str, Any]]:
        """Of every run, by its kind and name, the configuration as the database has it."""
        of_tax = {run_name(TAX, *way): self.tax.patching(*way) for way in DIRECTIONS} if self.tax else {}
        runs: dict[tuple[str, str], Settings] = {("locate", name): each for name, each in self.rankings.items()}
        runs |= {("patch", name): each for name, each in (self.patches | of_tax).items()}
        return {run: stored(options) for run, options in runs.items()}

    def _patch(self, neurons: tuple[str, ...], prompts: tuple[str, ...], sweep: tuple[str, ...] = ()) -> PatchOptions:
        return PatchOptions(
            recipient="demo:sft",
            donor="demo:safety",
            neurons=neurons,
            prompts=PromptOptions(prompts, limit=self.limit),
            judging=JudgingOptions(JUDGES),
            sweep=sweep,
            random=_CONTROLS,
            writing=_WRITING,
            seed=self.seed,
        )


def stored(options: Settings) -> Mapping[str, Any]:
    """The configuration that a run of these options has in the database."""
    found: Mapping[str, Any] = json.loads(json.dumps(config(options)))
    return found


def short_plan(seed: int = 0) -> Plan:
    """What the demo does unless asked for all: every number in it is one of :func:`whole_plan`, too."""
    return Plan(
        located=("safety", "safety-seed2", "helpful"),
        sizes=("1%", "5%", "20%"),
        red_team=RED_TEAM[1:3],
        formats=("svg", "html"),
        is_whole=False,
        seed=seed,
    )


def whole_plan(seed: int = 0) -> Plan:
    """All of it."""
    return Plan(
        located=("safety", "safety-seed2", "safety-seed3", "helpful", "concise", "polite", "format"),
        sizes=("0.5%", "1%", "2%", "5%", "10%", "20%"),
        red_team=RED_TEAM,
        formats=("svg", "pdf", "png", "html"),
        is_whole=True,
        seed=seed,
    )
