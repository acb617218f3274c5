-- The tables the console reads. They are a function of the set of records on the topics `activity`, `scores`,
-- `qualification`, `handoff` and `dead-letters`: no column holds the time of writing, a sequence or anything else that
-- another reading of the same records would not give again.
--
-- Names are not qualified: the projection makes the tables in the first schema of its search path, `tasuki` in
-- production, another one when it rebuilds beside the tables in use. Readers write `tasuki.lead_current`.
--
-- Text is never null where empty says the same; instants are null where there is none. Every number that counts
-- something unsigned is a bigint, so that no value of the log is out of range. Points are thousandths ("_mp"). Text that
-- stands in an index is cut after 200 characters, since Postgres refuses longer keys; `lead_profile` has it whole.

-- One row per lead: what lists and heads of pages show. `where active` in every list: a lead whose behavior events
-- were all retracted (they are somebody else's after all) keeps its row, its trail and its decisions, and is not a lead.
create table lead_current (
    lead_id                uuid        primary key,
    active                 boolean     not null,

    -- From the topic `activity`: who it is and what it did.
    email                  text        not null,
    name                   text        not null,
    company                text        not null,
    title                  text        not null,
    account_id             text        not null,
    -- The id under which the customer's own systems know the lead, the latest one seen.
    user_id                text        not null,
    -- E-mail address, name, company, account and user id in lower case, one a line: for `like '%' || lower($1) || '%'`.
    search_text            text        not null,
    -- Behavior events attributed at present, and the earliest and latest of them.
    activities             bigint      not null,
    first_activity_at      timestamptz,
    last_activity_at       timestamptz,

    -- From the topic `scores`. Zero, empty or null until the first score.
    engagement_mp          bigint      not null,
    fit_mp                 bigint      not null,
    -- Their sum.
    score_mp               bigint      not null,
    -- score_mp in tens of whole points, 0 to 20. Changes rarely, so it is what the indexes hold: lists sort by
    -- `score_band desc, score_mp desc, lead_id`, which Postgres takes from the index band by band.
    score_band             smallint    not null,
    grade                  text        not null,
    scored_as_of           timestamptz,
    next_change_at         timestamptz,
    -- Of the latest score.
    playbook_version       bigint      not null,

    -- From the topics `qualification` and `handoff` together. Names of stages as in the domain: 'Subscriber', 'Lead',
    -- 'MQL', 'SAL', 'SQL', 'Opportunity', 'Customer', 'Recycled', 'Disqualified', 'Lost'.
    stage                  text        not null,
    -- 0 before the first qualification.
    cycle                  bigint      not null,

    -- The lead's latest handoff: a copy of its row in `handoffs`; empty and null before the first.
    handoff_id             uuid,
    handoff_state          text        not null,
    route                  text        not null,
    urgency                text        not null,
    pool                   text        not null,
    qualified_at           timestamptz,
    owner_id               text        not null,
    owner_name             text        not null,
    owner_email            text        not null,
    accept_by              timestamptz,

    -- Last version seen per topic, and how many versions were missing in between (anything but 0 is a loss upstream).
    activity_version       bigint      not null,
    scores_version         bigint      not null,
    qualification_version  bigint      not null,
    handoff_version        bigint      not null,
    missing_versions       bigint      not null,

    -- What each of the two topics says of the stage; `stage` follows from both, in whatever order they are read.
    qualification_stage    text        not null,
    qualification_cycle    bigint      not null,
    handoff_stage          text        not null,
    handoff_cycle          bigint      not null
) with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02);

create index lead_current_by_score on lead_current (score_band desc) where active;
create index lead_current_by_stage on lead_current (stage, score_band desc) where active;
create index lead_current_by_grade on lead_current (grade, score_band desc) where active;
create index lead_current_by_owner on lead_current (owner_id, stage) where owner_id <> '';
create index lead_current_by_account on lead_current (account_id) where account_id <> '';
-- For `like 'prefix%'`, whatever the collation of the database.
create index lead_current_by_email on lead_current (email text_pattern_ops);
create index lead_current_by_name on lead_current (lower(name) text_pattern_ops);
create index lead_current_by_company on lead_current (lower(company) text_pattern_ops);

-- The wide part of a lead, written only when it changes.
create table lead_profile (
    lead_id        uuid  primary key,
    -- {"email", "account_id", "attributes": {"title": {"value", "source", "occurred_at"}}}
    profile        jsonb not null default '{}',
    -- [{"axis": "fit"|"engagement", "rule", "points_mp", "raw_mp", "matches",
    --   "evidence": [{"behavior_id", "occurred_at", "what", "points_mp"}]}], in the order of the score.
    contributions  jsonb not null default '[]',
    -- {"name": number}
    facts          jsonb not null default '{}'
);

-- One row per behavior event ever attributed to a lead. Show `where not retracted`, newest first by (occurred_at, event_id).
create table lead_timeline (
    lead_id      uuid        not null,
    event_id     uuid        not null,
    occurred_at  timestamptz not null,
    received_at  timestamptz not null,
    -- 'PageViewed', 'FormSubmitted' ...
    kind         text        not null,
    -- Which form, content, event ...
    about        text        not null,
    title        text        not null,
    path         text        not null,
    source       text        not null,
    protocol     text        not null,
    -- 'anonymous', 'user' or 'email': by which kind of identifier it was attributed.
    via          text        not null,
    -- Turned out to be somebody else's.
    retracted    boolean     not null,
    -- Version of the activity record that last said something about it.
    version      bigint      not null,
    primary key (lead_id, event_id)
);

create index lead_timeline_in_order on lead_timeline (lead_id, occurred_at desc, event_id desc);

-- One row per record of `qualification` and `handoff`: everything ever decided about a lead.
create table lead_decisions (
    event_id          uuid        primary key,
    lead_id           uuid        not null,
    -- 'qualification' or 'handoff', and the record's version on it.
    topic             text        not null,
    version           bigint      not null,
    occurred_at       timestamptz not null,
    received_at       timestamptz not null,
    -- 'LeadQualified', 'LeadRecycled', 'LeadDisqualified', 'StageChanged', 'LeadAssigned', 'HandoffOverdue',
    -- 'SalesAccepted', 'SalesRejected', 'FeedbackRefused'
    kind              text        not null,
    -- 0 where the event has none.
    cycle             bigint      not null,
    -- 0 and empty but for 'LeadQualified'.
    playbook_version  bigint      not null,
    route             text        not null,
    -- The rest of the event, by kind; for 'LeadQualified' also what was seen, whole.
    detail            jsonb       not null
);

create index lead_decisions_of_lead on lead_decisions (lead_id, occurred_at, topic, version);

-- One row per lead and cycle: from qualification to the verdict of sales.
create table handoffs (
    handoff_id        uuid        primary key,
    lead_id           uuid        not null,
    cycle             bigint      not null,
    -- 'qualified' (waits for a rep), 'unassigned' (nobody was free), 'assigned', 'overdue', 'accepted', 'rejected'
    state             text        not null,

    -- From the topic `qualification`; empty while only the handoff topic has been read.
    route             text        not null,
    urgency           text        not null,
    playbook_version  bigint      not null,
    qualified_at      timestamptz,

    -- The pool that has it; as qualification asked for until somebody is assigned.
    pool              text        not null,

    -- From the topic `handoff`.
    owner_id          text        not null,
    owner_name        text        not null,
    owner_email       text        not null,
    -- Why this owner, or why nobody.
    reason            text        not null,
    assigned_at       timestamptz,
    accept_by         timestamptz,
    -- When it was due, not when that was noticed.
    overdue_at        timestamptz,
    accepted_at       timestamptz,
    accepted_by       text        not null,
    rejected_at       timestamptz,
    rejected_by       text        not null,
    -- 'timing', 'no-budget', 'no-authority', 'no-need', 'unreachable', 'bad-data', 'duplicate', 'competitor', 'not-a-fit'
    reject_reason     text        not null,
    reject_note       text        not null,
    unique (lead_id, cycle)
);

create index handoffs_open on handoffs (accept_by) where state in ('assigned', 'overdue');
create index handoffs_waiting on handoffs (qualified_at) where state in ('qualified', 'unassigned');
create index handoffs_of_owner on handoffs (owner_id, state) where owner_id <> '';

-- What could not be processed: the records of `dead-letters`, and what the projection itself cannot read.
create table dead_letters (
    id            uuid        primary key,
    -- 'ingest', 'identity' ... 'projection'
    service       text        not null,
    -- 'size', 'format', 'protocol', 'schema', 'auth', 'policy', 'poison'
    kind          text        not null,
    code          text        not null,
    message       text        not null,
    -- Null for what the projection cannot read.
    received_at   timestamptz,
    original      bytea       not null,
    -- Where it was found: on the log (the next four), or in a request ({"source", "protocol", "method", "target",
    -- "content_type", "pointer", "item", "request_id", "repairs"}).
    log_topic      text,
    log_partition  integer,
    log_offset     bigint,
    log_key        bytea,
    http           jsonb
);

create index dead_letters_by_time on dead_letters (received_at desc nulls first, id);
create index dead_letters_by_code on dead_letters (service, code);

-- How far each partition has been read: moved on in the transaction that writes the rows. No part of the content.
create table projection_watermark (
    topic        text    not null,
    partition    integer not null,
    next_offset  bigint  not null,
    primary key (topic, partition)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02);
