"""A demo of a few prompts: every kind of step, in seconds; the models' own libraries are not loaded for it."""

from snql.demonstration import experiment, plan
from snql.demonstration.plan import Plan

NAME = "short_plan"


def small_plan(seed: int = 0) -> Plan:
    """Of the short demo, fewer rankings, sizes, prompts and formats."""
    return Plan(
        located=("safety", "helpful"),
        sizes=("5%", "20%"),
        red_team=plan.RED_TEAM[1:3],
        formats=("svg",),
        is_whole=False,
        seed=seed,
        limit=16,
    )


def use() -> None:
    """Make it the demo of this process."""
    for module in (plan, experiment):
        setattr(module, NAME, small_plan)
