-- Locate runs whose text a third model writes (writer), or a file gives (given).
CREATE TABLE ways (
    run_id          INTEGER NOT NULL,
    variant_id      INTEGER NOT NULL,
    name            VARCHAR NOT NULL,
    role            VARCHAR NOT NULL
        CHECK (role IN ('before', 'after', 'writer', 'given', 'recipient', 'donor', 'patched')),
    neurons         VARCHAR,
    set_id          INTEGER,
    n_neurons       INTEGER,
    fraction        DOUBLE,
    control_of      INTEGER,
    control_seed    INTEGER,
    control_kind    VARCHAR,
    route           VARCHAR
);
INSERT INTO ways BY NAME SELECT * FROM variants;
DROP TABLE variants;
ALTER TABLE ways RENAME TO variants;
ALTER TABLE variants ADD PRIMARY KEY (run_id, variant_id);
