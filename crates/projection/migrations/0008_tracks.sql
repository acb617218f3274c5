-- Product lines: the score of a lead in each track of the playbook, and the track whose route handed it to sales.
alter table lead_profile
    -- [{"track", "engagement_mp", "fit_mp", "grade", "bounds": [contribution]}], in the order of the playbook. With those of
    -- `contributions` that name the track or none, without the lead's own "cap", `bounds` add up to both axes.
    add column tracks jsonb not null default '[]';
alter table handoffs
    -- Empty where the route is of the lead itself.
    add column track text not null default '';
