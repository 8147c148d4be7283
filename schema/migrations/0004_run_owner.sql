-- Which process works on a run: "host:pid:start"; NULL for runs made before this column.
ALTER TABLE runs ADD COLUMN owner VARCHAR;
