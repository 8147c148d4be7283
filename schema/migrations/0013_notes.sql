-- Notes of a run: what was found while it was loaded or worked on that its numbers must be read with.

ALTER TABLE runs ADD COLUMN notes VARCHAR[];
