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

#[tokio::main]
async fn main() {
    let settings = Arguments::parse().console;
    let url = tasuki_testkit::postgres::fresh_database();
    fixture::make_tables(&url).await;
    fixture::fill(&url).await;
    fixture::statements(&url, DUPLICATES).await;
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
        settings,
    };
    serve(listener, router(state), Shutdown::new()).await.expect("serves");
}
