-- Routes: runs that patch each set twice, with the donor's activations and with its parameters alone.

-- total or direct in a run by both routes; NULL in all others, whose mode says it.
ALTER TABLE variants ADD COLUMN route VARCHAR;
