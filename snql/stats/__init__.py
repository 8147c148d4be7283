"""Statistics: intervals, effects and overlaps."""
