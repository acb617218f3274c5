-- By what leads may be one person. A function of the profile alone.
--
-- In `lead_profile.profile`, `occurred_at` of an attribute is null where nobody said it: `role_address` follows from the address.

create table lead_duplicate_keys (
    lead_id  uuid  not null,
    -- 'email' (one mailbox but for a tag), 'phone' (one line), 'name' and 'reading' (one name, as written or as it sounds, in one
    -- account or company).
    kind     text  not null,
    -- What both have; cut after 200 characters.
    key      text  not null,
    primary key (lead_id, kind, key)
);

create index lead_duplicate_keys_by_key on lead_duplicate_keys (kind, key);
