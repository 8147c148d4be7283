-- Purpose: how well each token of a text is predicted, plain and with neurons patched.
-- Grain:   one row per perplexity run, variant, document and scored token.
-- Key:     run_id, variant_id, prompt_id, position
-- Columns:
--   run -> runs.name: the perplexity run
--   variant: name of the variant
--   dataset: the data set
--   prompt_id -> prompts.prompt_id: the document
--   position: position of the token in the document, from 0
--   token_id: the token
--   nll [nats]: its negative log-likelihood
--   window_index: window that it was scored in, from 0
--   n_context [tokens]: tokens before it that the model saw
--   run_id -> runs.run_id: the run
--   variant_id -> variants.variant_id: who read
-- Units:   nll is in nats: its mean's exponential is the perplexity.
-- Caveats: a document's first token is not scored. Includes windows of runs that have not finished.
CREATE OR REPLACE VIEW token_losses AS
WITH scored AS (
    SELECT
        run_id, variant_id, prompt_id, window_index, first_position, n_context,
        unnest(range(n_tokens)) AS place,
        unnest(nlls) AS nll
    FROM text_windows
)
SELECT
    runs.name AS run,
    v.name AS variant,
    p.dataset,
    s.prompt_id,
    (s.first_position + s.place)::INTEGER AS position,
    r.input_ids[s.first_position + s.place + 1] AS token_id,
    s.nll,
    s.window_index,
    (s.n_context + s.place)::INTEGER AS n_context,
    s.run_id,
    s.variant_id
FROM scored AS s
JOIN runs USING (run_id)
JOIN variants AS v USING (run_id, variant_id)
JOIN run_prompts AS r USING (run_id, prompt_id)
JOIN prompts AS p USING (prompt_id);
