-- Primary keys where an index costs little: not for the statistics, tokens and activations of neurons (docs/schema.md).
-- No foreign keys: DuckDB then refuses to alter the table that is referred to, and to delete a run with its rows in one
-- transaction. `snql db check` compares what refers to what, and the keys that are not declared.
ALTER TABLE run_models ADD PRIMARY KEY (run_id, role);
ALTER TABLE run_prompts ADD PRIMARY KEY (run_id, prompt_id);
ALTER TABLE run_prompt_sets ADD PRIMARY KEY (run_id, ordinal);
ALTER TABLE variants ADD PRIMARY KEY (run_id, variant_id);
ALTER TABLE completions ADD PRIMARY KEY (run_id, variant_id, prompt_id, sample);
ALTER TABLE judgements ADD PRIMARY KEY (run_id, variant_id, prompt_id, sample, judge);
ALTER TABLE effects ADD PRIMARY KEY (run_id, variant_id, judge, dataset);
ALTER TABLE control_effects ADD PRIMARY KEY (run_id, variant_id, judge, dataset, control_kind);
ALTER TABLE run_batches ADD PRIMARY KEY (run_id, stage, batch);
ALTER TABLE activation_chunks ADD PRIMARY KEY (run_id, chunk);
