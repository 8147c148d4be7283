"""Shares of things that were counted."""

from snql.stats.interval import CONFIDENCE, Interval


def wilson_interval(share: float, n: float, confidence: float = CONFIDENCE) -> Interval:
    """A share of n independent things with Wilson's interval (1927), as the SQL macro of that name has it; n above 0.

    It is no point where the share is 0 or 1, as a bootstrap interval is.
    """
    from scipy import special  # slow to import: lists and pages do without

    z = float(special.ndtri((1 + confidence) / 2))
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * (max(share * (1 - share), 0.0) / n + z * z / (4 * n * n)) ** 0.5 / (1 + z * z / n)
    return Interval(share, max(0.0, min(share, middle - half)), min(1.0, max(share, middle + half)))
