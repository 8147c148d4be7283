"""``snql judge`` and ``snql judges``: scores of stored completions, and how far judges agree."""

from collections.abc import Sequence
from typing import Annotated

import typer

from snql.judges.options import JudgeOptions, RejudgeFlags
from snql.options import Inside

from .commands import command
from .patch import note_undefined
from .progress import progress_shown
from .render import note, print_json_parts, print_rows, print_table
from .runs import say_found
from .state import state

judges = typer.Typer(help="The judges of a database, and how far they agree; without a command, list them.")

Run = Annotated[str, typer.Argument(help="Name of a finished run.")]
Kind = Annotated[str | None, typer.Option(help="locate or patch, if both have a run of that name.")]

_EFFECTS = {
    "variant": "neurons",
    "dataset": "prompts",
    "judge": "judge",
    "n_prompts": "n",
    "mean_recipient": "recipient",
    "mean_patched": "patched",
    "mean_donor": "donor",
    "effect": "effect",
    "ci_low": "low",
    "ci_high": "high",
}
_DISAGREEMENTS = {
    "dataset": "prompts",
    "variant": "variant",
    "score_a": "A",
    "score_b": "B",
    "prompt": "prompt",
    "completion": "completion",
}


def judge(
    context: typer.Context,
    run: Run,
    judge: Annotated[
        list[str],
        typer.Option(
            help="refusal, demo:cost, demo:reward, score-model:PATH, classifier:PATH[#label], llm:URL#MODEL or "
            "python:MODULE:FUNCTION; repeatable."
        ),
    ],
    options: Annotated[JudgeOptions, Inside(without=("trust_remote_code",))],
    flags: RejudgeFlags,
    kind: Kind = None,
) -> None:
    """Score the stored completions of a run by one more judge; nothing is generated."""
    from snql.judges.stored import judge as run_judge

    here = state(context)
    with progress_shown(quiet=here.quiet) as progress:
        found = run_judge(here.open(), run, judge, options, kind=kind, flags=flags, progress=progress)
    if here.json:
        print_json_parts({"scores": found.scores, "effects": found.effects})
        return
    sets = found.effects.filter(found.effects["control_of"].is_null())
    if len(sets):
        say_found(here, run, "patch")
    print_table(found.scores.filter(~found.scores["variant"].str.starts_with("random(")), title=f"Scores of {run}")
    if len(sets):
        print_table(sets, _EFFECTS, f"Causal effects of {run}", results=("effect",))
        note_undefined(found.effects, quiet=here.quiet)
    _note_limits(judge, int(found.scores["missing"].sum()), quiet=here.quiet)


def _note_limits(judges: Sequence[str], missing: int, *, quiet: bool) -> None:
    """What to know of the scores: crude judges, and completions without one."""
    if any(name.partition(":")[0] == "refusal" for name in judges):
        note("refusal is crude: it misses refusals in other words, and harm that follows a refusal phrase", quiet=quiet)
    if missing:
        words = "`snql query` shows why in judgements.problem; --retry asks again"
        note(f"{missing} completions have no score: {words}", quiet=quiet)


@judges.callback(invoke_without_command=True)
def listed(context: typer.Context) -> None:
    """List the judges that have scored in this database."""
    if context.invoked_subcommand is None:
        from snql.db.judgements import list_judges

        here = state(context)
        print_rows(
            list_judges(here.open()),
            as_json=here.json,
            title="Judges",
            empty="none yet: `snql patch … --judge` and `snql judge` ask some",
        )


@command(judges)
def compare(
    context: typer.Context,
    run: Run,
    a: Annotated[str, typer.Argument(help="A judge.")],
    b: Annotated[str, typer.Argument(help="Another one.")],
    limits: Annotated[
        str, typer.Option(help="A completion is bad above these scores of A and B (below, for rewards).")
    ] = "0,0",
    top: Annotated[int, typer.Option(help="Disagreements to show.")] = 10,
    seed: Annotated[int, typer.Option(help="Seed of the bootstrap.")] = 0,
    kind: Kind = None,
) -> None:
    """Compare two judges of the same completions: correlations, kappa of their verdicts, and where they disagree."""
    from snql.judges.agreement import agreement, parse_limits

    here = state(context)
    found = agreement(here.open(), run, a, b, kind=kind, limits=parse_limits(limits), seed=seed)
    if here.json:
        parts = {"statistics": found.statistics, "verdicts": found.verdicts, "disagreements": found.disagreements}
        print_json_parts(parts)
        return
    print_table(found.statistics, title=f"{a} and {b} on {run}")
    print_table(found.verdicts, title=f"Verdicts: bad beyond {found.limits[0]:g} (A) and {found.limits[1]:g} (B)")
    if len(found.disagreements):
        title = f"The {min(top, len(found.disagreements))} strongest of {len(found.disagreements)} disagreements"
        print_table(found.disagreements.head(top), _DISAGREEMENTS, title)
    undefined = found.statistics.filter(found.statistics["value"].is_null())["statistic"].to_list()
    if undefined:
        note(f"undefined, because a judge says the same of all: {', '.join(undefined)}", quiet=here.quiet)
    if found.missing:
        note(f"{found.missing} completions have no score by one of the two and are left out", quiet=here.quiet)
