-- Playbooks that were published. From the topic `playbooks`.

-- One row per publication; a playbook that is in force again after a rollback has a second one.
create table playbooks (
    event_id      uuid        primary key,
    -- The playbook's own; stands on everything that was scored and decided by it.
    version       bigint      not null,
    name          text        not null,
    -- The file, whole.
    body          text        not null,
    -- The latest by (published_at, event_id) is in force.
    published_at  timestamptz not null,
    published_by  text        not null,
    -- 'started' (it was in force before any was published), 'published', 'rolled-back'
    because       text        not null
);

create index playbooks_in_order on playbooks (published_at desc, event_id desc);

-- Name of the campaign that brought the visitor: rules may ask for it. Empty on rows of before it was kept.
alter table lead_timeline add column campaign text not null default '';
