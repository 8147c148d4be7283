"""What a job reports of its stages."""

from collections.abc import Sequence

from snql.progress import Progress


def stages(reports: Sequence[Progress]) -> dict[str, tuple[int, int, int]]:
    """Of each stage, in order: what was done at its first report, and at its last, and in all."""
    told: dict[str, list[Progress]] = {}
    for report in reports:
        if report.stage:
            told.setdefault(report.stage, []).append(report)
    return {stage: (each[0].done, each[-1].done, each[-1].total) for stage, each in told.items()}
