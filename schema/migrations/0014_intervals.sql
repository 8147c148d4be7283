-- One prompt has no interval: its difference is stored without bounds. Intervals by formula have 0 resamples.

ALTER TABLE effects ALTER COLUMN change_ci_low DROP NOT NULL;
ALTER TABLE effects ALTER COLUMN change_ci_high DROP NOT NULL;
ALTER TABLE control_effects ALTER COLUMN difference_ci_low DROP NOT NULL;
ALTER TABLE control_effects ALTER COLUMN difference_ci_high DROP NOT NULL;
