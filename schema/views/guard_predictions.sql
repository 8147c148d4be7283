-- Purpose: what each classifier says of each prompt, beside what the judge says of the answer.
-- Grain:   one row per finished guard or guard-test run, classifier, model whose activations are read, and prompt.
-- Key:     run_id, classifier_id, variant_id, prompt_id
-- Columns:
--   run -> runs.name: the run
--   stage: train (the prompt was held out of the fit) or test
--   guard -> runs.name: the guard; of a guard run itself
--   neurons: expression of the chosen neurons
--   n_neurons [neurons]: how many are read
--   kind: guard, or of random neurons: matched, magnitude, last-layer or anywhere
--   control_seed: seed of the random neurons; NULL for others
--   read_from: the model whose activations are read: before or after
--   dataset: name of the prompt's set
--   prompt_id -> prompts.prompt_id: the prompt
--   prompt: the prompt without a template
--   benign: whether it was given as benign
--   score [judge's units]: the judge's score of the answer of the model before; NULL if it gave none
--   label: whether that answer is judged harmful; NULL without a score
--   probability: of a harmful answer
--   refused: whether the probability is at least that from which the guard refuses
--   run_id -> runs.run_id: the run
--   classifier_id -> guard_classifiers.classifier_id: the classifier; 0 is the guard
--   variant_id -> variants.variant_id: the model whose activations are read
-- Units:   probability is from 0 to 1.
-- Caveats: label is about the answer of the model before, also where another model's activations are read.
CREATE OR REPLACE VIEW guard_predictions AS
SELECT
    runs.name AS run,
    CASE WHEN runs.kind = 'guard' THEN 'train' ELSE 'test' END AS stage,
    coalesce(runs.config ->> '$.guard', runs.name) AS guard,
    c.neurons,
    c.n_neurons,
    c.kind,
    c.control_seed,
    v.name AS read_from,
    p.dataset,
    g.prompt_id,
    p.text AS prompt,
    l.benign,
    l.score,
    l.label,
    g.probability,
    g.probability >= (runs.config ->> '$.refuse_from')::DOUBLE AS refused,
    g.run_id,
    g.classifier_id,
    g.variant_id
FROM guard_probabilities AS g
JOIN runs USING (run_id)
JOIN guard_classifiers AS c USING (run_id, classifier_id)
JOIN variants AS v USING (run_id, variant_id)
JOIN prompts AS p USING (prompt_id)
LEFT JOIN guard_labels AS l USING (run_id, prompt_id)
WHERE runs.status = 'done';
