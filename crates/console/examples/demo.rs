//! The console over a handful of made-up leads, for looking at pages while working on them:
//!
//! ```sh
//! cargo run -p tasuki-console --example demo -- --console-listen 127.0.0.1:8471 --console-time-zone Asia/Tokyo
//! ```
//!
//! Sign in with `demo-token-0123456789`. The clock stands still, and verdicts are taken but go nowhere.

#![allow(clippy::print_stdout, reason = "an example, for a person")]

use std::sync::Arc;

use clap::Parser;
use sqlx::postgres::PgPoolOptions;
use tasuki_console::{ApiToken, ConsoleSettings, ConsoleState, router, serve};
use tasuki_domain::Timestamp;
use tasuki_service::{Clock, Health, Shutdown};
use tasuki_stream::Emitted;
use tasuki_stream::log::{BoxFuture, PublishError, Publisher};

#[path = "../tests/fixture/mod.rs"]
mod fixture;

/// Hanako has something in common with two others.
const DUPLICATES: &str = "insert into tasuki.lead_duplicate_keys \
    select ('a0000000-0000-4000-8000-00000000000' || lead)::uuid, kind, key \
    from (values ('email', 'hanako.sato@midori.example', '{1,7}'::int[]), ('phone', '312345678', '{1,6}'), \
    ('reading', 'hanakosato @ midori.example', '{1,6}'), ('reading', 'satohanako @ midori.example', '{1,6}')) \
    as common (kind, key, leads), unnest(leads) lead";

#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    console: ConsoleSettings,
}

#[derive(Debug)]
struct Nowhere;

impl Publisher for Nowhere {
    fn publish(&self, _: Vec<Emitted>) -> BoxFuture<'_, Result<(), PublishError>> {
        Box::pin(async { Ok(()) })
    }
}

#[derive(Debug)]
struct Standing(Timestamp);

impl Clock for Standing {
    fn now(&self) -> Timestamp {
        self.0
    }
}

/// The built-in playbook, and a later one that differs a little.
async fn publications(url: &str) {
    let first = tasuki_playbook::Playbook::DEFAULT;
    let later = first.replacen("version = 1", "version = 2", 1).replacen("points = 8", "points = 12", 1);
    let later = later.replacen("engagement >= 60", "engagement >= 50", 1);
    for (version, text, at, by, because) in
        [(1, first, "2026-11-02T00:30:00Z", "", "started"), (2, &later, "2026-11-20T06:00:00Z", "森 健太", "published")]
    {
        let insert = format!(
            "insert into tasuki.playbooks (event_id, version, name, body, published_at, published_by, because) \
             values (gen_random_uuid(), {version}, 'default', $text${text}$text$, '{at}', '{by}', '{because}')"
        );
        fixture::statements(url, &insert).await;
    }
}

#[tokio::main]
async fn main() {
    let settings = Arguments::parse().console;
    let url = tasuki_testkit::postgres::fresh_database();
    fixture::make_tables(&url).await;
    fixture::fill(&url).await;
    fixture::statements(&url, include_str!("../tests/fixture/accounts.sql")).await;
    fixture::statements(&url, DUPLICATES).await;
    publications(&url).await;
    let pool = PgPoolOptions::new().connect(&url).await.expect("the database was just made");
    let token = "demo-token-0123456789";
    let listener = tokio::net::TcpListener::bind(&settings.console_listen).await.expect("a free port");
    println!("http://{}/?lang=en  token: {token}", listener.local_addr().expect("a bound port"));
    let state = ConsoleState {
        pool,
        publisher: Arc::new(Nowhere),
        clock: Arc::new(Standing(fixture::NOW.parse().expect("an instant"))),
        health: Health::default(),
        token: ApiToken::new(token).expect("long enough"),
        start: Arc::new(tasuki_playbook::Playbook::built_in()),
        explainer: fixture::explainer::explainer(),
        settings,
    };
    serve(listener, router(state), Shutdown::new()).await.expect("serves");
}
