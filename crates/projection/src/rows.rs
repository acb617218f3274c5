//! The tables of `migrations/`, where each column is explained.

use serde_json::Value;
use sqlx::types::{Json, Uuid};

use crate::table::{At, row};

row! {
    /// What lists show of a lead.
    LeadCurrent in "lead_current" {
        lead_id: Uuid as "uuid",
        active: bool as "bool",
        email: String as "text",
        name: String as "text",
        company: String as "text",
        title: String as "text",
        account_id: String as "text",
        user_id: String as "text",
        search_text: String as "text",
        activities: i64 as "int8",
        first_activity_at: Option<At> as "timestamptz",
        last_activity_at: Option<At> as "timestamptz",
        engagement_mp: i64 as "int8",
        fit_mp: i64 as "int8",
        score_mp: i64 as "int8",
        score_band: i16 as "int2",
        grade: String as "text",
        scored_as_of: Option<At> as "timestamptz",
        next_change_at: Option<At> as "timestamptz",
        playbook_version: i64 as "int8",
        stage: String as "text",
        cycle: i64 as "int8",
        handoff_id: Option<Uuid> as "uuid",
        handoff_state: String as "text",
        route: String as "text",
        urgency: String as "text",
        pool: String as "text",
        qualified_at: Option<At> as "timestamptz",
        owner_id: String as "text",
        owner_name: String as "text",
        owner_email: String as "text",
        accept_by: Option<At> as "timestamptz",
        activity_version: i64 as "int8",
        scores_version: i64 as "int8",
        qualification_version: i64 as "int8",
        handoff_version: i64 as "int8",
        missing_versions: i64 as "int8",
        qualification_stage: String as "text",
        qualification_cycle: i64 as "int8",
        handoff_stage: String as "text",
        handoff_cycle: i64 as "int8",
        merged_into: Option<Uuid> as "uuid",
        identities_version: i64 as "int8",
    }
}

row! {
    /// The part of `lead_profile` that follows from `activity`.
    Profile in "lead_profile" {
        lead_id: Uuid as "uuid",
        profile: Json<Value> as "jsonb",
    }
}

row! {
    /// By what a lead may be the same person as others that have the same key.
    DuplicateKey in "lead_duplicate_keys" {
        lead_id: Uuid as "uuid",
        kind: String as "text",
        key: String as "text",
    }
}

row! {
    /// The part of `lead_profile` that follows from `scores`.
    Ledger in "lead_profile" {
        lead_id: Uuid as "uuid",
        contributions: Json<Value> as "jsonb",
        facts: Json<Value> as "jsonb",
        tracks: Json<Value> as "jsonb",
    }
}

row! {
    /// A behavior event of a lead.
    Timeline in "lead_timeline" {
        lead_id: Uuid as "uuid",
        event_id: Uuid as "uuid",
        occurred_at: At as "timestamptz",
        received_at: At as "timestamptz",
        kind: String as "text",
        about: String as "text",
        title: String as "text",
        path: String as "text",
        campaign: String as "text",
        source: String as "text",
        protocol: String as "text",
        via: String as "text",
        unscored: bool as "bool",
        retracted: bool as "bool",
        version: i64 as "int8",
    }
}

row! {
    /// Something decided about a lead.
    Decision in "lead_decisions" {
        event_id: Uuid as "uuid",
        lead_id: Uuid as "uuid",
        topic: String as "text",
        version: i64 as "int8",
        occurred_at: At as "timestamptz",
        received_at: At as "timestamptz",
        kind: String as "text",
        cycle: i64 as "int8",
        playbook_version: i64 as "int8",
        route: String as "text",
        detail: Json<Value> as "jsonb",
    }
}

row! {
    /// The passing of a lead to sales in one cycle.
    Handoff in "handoffs" {
        handoff_id: Uuid as "uuid",
        lead_id: Uuid as "uuid",
        cycle: i64 as "int8",
        state: String as "text",
        route: String as "text",
        urgency: String as "text",
        playbook_version: i64 as "int8",
        qualified_at: Option<At> as "timestamptz",
        pool: String as "text",
        owner_id: String as "text",
        owner_name: String as "text",
        owner_email: String as "text",
        reason: String as "text",
        assigned_at: Option<At> as "timestamptz",
        accept_by: Option<At> as "timestamptz",
        overdue_at: Option<At> as "timestamptz",
        accepted_at: Option<At> as "timestamptz",
        accepted_by: String as "text",
        rejected_at: Option<At> as "timestamptz",
        rejected_by: String as "text",
        reject_reason: String as "text",
        reject_note: String as "text",
        track: String as "text",
    }
}

row! {
    /// What an account has of its leads.
    Account in "accounts" {
        account_id: String as "text",
        version: i64 as "int8",
        engagement_mp: i64 as "int8",
        sum_mp: i64 as "int8",
        people: i64 as "int8",
        departments: Json<Value> as "jsonb",
        department_count: i64 as "int8",
        as_of: At as "timestamptz",
        playbook_version: i64 as "int8",
    }
}

row! {
    /// A playbook that was published, or is in force again.
    Publication in "playbooks" {
        event_id: Uuid as "uuid",
        version: i64 as "int8",
        name: String as "text",
        body: String as "text",
        published_at: At as "timestamptz",
        published_by: String as "text",
        because: String as "text",
    }
}

row! {
    /// What could not be processed.
    Letter in "dead_letters" {
        id: Uuid as "uuid",
        service: String as "text",
        kind: String as "text",
        code: String as "text",
        message: String as "text",
        received_at: Option<At> as "timestamptz",
        original: Vec<u8> as "bytea",
        log_topic: Option<String> as "text",
        log_partition: Option<i32> as "int4",
        log_offset: Option<i64> as "int8",
        log_key: Option<Vec<u8>> as "bytea",
        http: Option<Json<Value>> as "jsonb",
    }
}
