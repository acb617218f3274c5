-- What follows from rows that are there already, computed once for each release that computes it in another way.
create table projection_backfills (
    -- 'duplicate-keys'.
    name     text    primary key,
    -- Of the rules by which it was computed last.
    version  bigint  not null
);

-- One more kind in `lead_duplicate_keys`: 'crm', one record in a CRM system, with the system before it ("hubspot:123").
