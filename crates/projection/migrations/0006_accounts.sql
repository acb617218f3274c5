-- What accounts have of their leads, from the topic `accounts`: one row for each account of which something was ever said.
create table accounts (
    account_id        text        primary key,
    -- Of the record that says this; a later one replaces it whole.
    version           bigint      not null,
    -- Of its engaged people together, and at most the cap of the playbook.
    engagement_mp     bigint      not null,
    -- The same without the cap.
    sum_mp            bigint      not null,
    -- Engaged people.
    people            bigint      not null,
    -- The departments they come from: [{"name", "people"}], those with most people first.
    departments       jsonb       not null,
    -- How many.
    department_count  bigint      not null,
    -- The latest instant among the scores of its leads.
    as_of             timestamptz not null,
    playbook_version  bigint      not null
);

-- Accounts with anybody engaged, those with most engagement first.
create index accounts_in_order on accounts (engagement_mp desc, people desc, account_id) where people > 0;
