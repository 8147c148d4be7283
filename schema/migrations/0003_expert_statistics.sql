-- Neurons of an expert that no token reached have no statistics: their scores and means are NULL.
ALTER TABLE neuron_statistics ALTER COLUMN score DROP NOT NULL;
ALTER TABLE neuron_statistics ALTER COLUMN mean_before DROP NOT NULL;
ALTER TABLE neuron_statistics ALTER COLUMN mean_after DROP NOT NULL;
ALTER TABLE neuron_statistics ALTER COLUMN mean_difference DROP NOT NULL;
