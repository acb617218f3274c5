-- The log as tables. Written by one connection at a time, which holds an advisory lock; readers need no lock.

CREATE TABLE tasuki_log.settings (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    -- Fixed for ever: the partition of a key depends on it.
    partitions integer NOT NULL
);

-- How many transactions the writer has committed. Each adds one; after a COMMIT that was never answered, this number
-- says whether it happened.
CREATE TABLE tasuki_log.writer (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    commits bigint NOT NULL
);
INSERT INTO tasuki_log.writer (commits) VALUES (0);

CREATE TABLE tasuki_log.topics (
    id smallint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    name text NOT NULL UNIQUE
);

-- Offsets begin at 0, are given by the writer, and may have gaps where records were removed.
CREATE TABLE tasuki_log.records (
    topic smallint NOT NULL,
    partition integer NOT NULL,
    "offset" bigint NOT NULL,
    key bytea NOT NULL,
    payload bytea NOT NULL,
    -- Milliseconds since 1970-01-01T00:00:00Z.
    written_at bigint NOT NULL,
    PRIMARY KEY (topic, partition, "offset")
);

-- What the processors remember: the last value of each key of a state topic. The index holds a hash, because a key may
-- be longer than an index takes.
CREATE TABLE tasuki_log.states (
    topic smallint NOT NULL,
    partition integer NOT NULL,
    key bytea NOT NULL,
    value bytea NOT NULL
) WITH (fillfactor = 80);
CREATE UNIQUE INDEX states_key ON tasuki_log.states (topic, partition, sha256(key));

-- How far each processor has come in its inputs.
CREATE TABLE tasuki_log.positions (
    service text NOT NULL,
    topic smallint NOT NULL,
    partition integer NOT NULL,
    next_offset bigint NOT NULL,
    PRIMARY KEY (service, topic, partition)
) WITH (fillfactor = 50);
