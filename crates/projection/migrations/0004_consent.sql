-- What a person allows. From the topics `activity` and `identities`.

alter table lead_timeline
    -- It gives no points: the person does not allow scoring, now or when it happened.
    add column unscored  boolean not null default false;

-- `lead_decisions` also has, of `identities`, 'IdentifierRefused' ({"identifier", "because", "value", "behavior_id"}), 'ConsentsChanged'
-- ({"consents": [{"purpose", "granted", "since", "source", "basis"}]}) and 'BehaviorWithheld' ({"purpose", "kind", "behavior_id"}), and of
-- `qualification` 'LeadHeldBack' ({"reason"}, with the route).
