-- Leads that are merged. From the topic `identities`.

alter table lead_current
    -- The lead that has its events now; null: it has them itself. Such a lead is not active, keeps its page, its decisions
    -- and its handoffs, and is what it was again after a split.
    add column merged_into         uuid,
    -- Last version seen of the topic.
    add column identities_version  bigint not null default 0;

create index lead_current_by_merged on lead_current (merged_into) where merged_into is not null;

-- `lead_decisions` also has the records of `identities`, as 'MergesChanged' ({"merged_into", "merged", "by", "command_id"}) and
-- 'LeadCommandRefused' ({"from", "reason", "by", "command_id"}).
