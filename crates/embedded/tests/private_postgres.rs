//! The private server: starts twice on the same folder, survives its own death, ends with us, explains itself.

#![allow(clippy::unwrap_used, reason = "how a test fails")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use sqlx::{Connection, PgConnection};
use tasuki_embedded::{PrivatePostgres, PrivateSettings};
use tasuki_service::{Exit, Health};
use tasuki_testkit::eventually::{PATIENCE, eventually};
use tasuki_testkit::postgres::reachable_folder;

/// Set for the copy of this program that is to be killed.
const FOLDER: &str = "TASUKI_TEST_FOLDER";

fn settings(folder: &Path) -> PrivateSettings {
    PrivateSettings { folder: folder.join("postgres"), programs: None, server_settings: Vec::new() }
}

async fn start(folder: &Path) -> PrivatePostgres {
    PrivatePostgres::start(&settings(folder), Health::default().component("postgres")).await.unwrap()
}

async fn run(url: &str, sql: &'static str) -> Result<i64, sqlx::Error> {
    let mut connection = PgConnection::connect(url).await?;
    let answer = sqlx::query_scalar(sql).fetch_one(&mut connection).await?;
    connection.close().await?;
    Ok(answer)
}

fn kill_9(pid: u32) {
    assert!(Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap().success());
}

fn is_alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, state)| !state.starts_with('Z'))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_start_finds_the_data_at_the_same_address() {
    let folder = reachable_folder();
    let server = start(folder.path()).await;
    let url = server.url().to_owned();
    let mut connection = PgConnection::connect(&url).await.unwrap();
    sqlx::raw_sql("CREATE TABLE kept AS SELECT 7::bigint AS n").execute(&mut connection).await.unwrap();
    server.stop().await;
    assert!(run(&url, "SELECT n FROM kept").await.is_err(), "it is stopped");
    let begun = Instant::now();
    let again = start(folder.path()).await;
    println!("second start: {:?}", begun.elapsed());
    assert_eq!(again.url(), url);
    assert_eq!(run(&url, "SELECT n FROM kept").await.unwrap(), 7);
    again.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_is_started_again() {
    let folder = reachable_folder();
    let health = Health::default();
    let server = PrivatePostgres::start(&settings(folder.path()), health.component("postgres")).await.unwrap();
    let before = server.pid().unwrap();
    kill_9(before);
    let (url, mut after) = (server.url().to_owned(), None);
    while after.is_none() {
        after = server.pid().filter(|pid| *pid != before);
        tokio::task::yield_now().await;
    }
    let deadline = Instant::now() + PATIENCE;
    while !(run(&url, "SELECT 1::bigint").await.is_ok() && health.is_ready()) {
        assert!(Instant::now() < deadline, "the server does not come back: {:?}", health.conditions());
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_has_one_user_at_a_time() {
    let folder = reachable_folder();
    let server = start(folder.path()).await;
    let component = Health::default().component("postgres");
    let failure = PrivatePostgres::start(&settings(folder.path()), component).await.unwrap_err();
    assert_eq!(failure.exit, Exit::TemporaryFailure);
    assert!(failure.what.starts_with("another process of tasuki uses "), "{failure}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_programs_and_folders_out_of_reach_are_said() {
    let folder = reachable_folder();
    let mut settings = settings(folder.path());
    settings.programs = Some(folder.path().join("nothing-here"));
    let health = Health::default();
    let failure = PrivatePostgres::start(&settings, health.component("postgres")).await.unwrap_err();
    assert_eq!(failure.exit, Exit::Unavailable);
    assert!(failure.what.starts_with("no Postgres server programs in "), "{failure}");

    std::fs::write(folder.path().join("a-file"), "").unwrap();
    settings.folder = folder.path().join("a-file").join("postgres");
    let failure = PrivatePostgres::start(&settings, health.component("postgres")).await.unwrap_err();
    assert_eq!(failure.exit, Exit::CannotCreate);
    assert!(failure.what.contains("a-file"), "{failure}");
}

/// Not a test of its own: what the next test starts as a process, and kills.
#[tokio::test(flavor = "multi_thread")]
async fn holds_a_server_until_killed_if_told_to() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let server = start(Path::new(&folder)).await;
    println!("\nserver {} {}", server.pid().unwrap(), server.url());
    std::future::pending::<()>().await;
}

/// A process with a server on this folder, killed while a client is busy there. Says the server's process and address.
async fn killed_process(folder: &Path, path: &str) -> (u32, String) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "holds_a_server_until_killed_if_told_to", "--nocapture"])
        .env(FOLDER, folder)
        .env("PATH", path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let told = lines.map_while(Result::ok).find_map(|line| line.strip_prefix("server ").map(str::to_owned)).unwrap();
    let (pid, url) = told.split_once(' ').unwrap();
    let mut busy = PgConnection::connect(url).await.unwrap();
    sqlx::raw_sql("CREATE TABLE kept AS SELECT 7::bigint AS n").execute(&mut busy).await.unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    (pid.parse().unwrap(), url.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_ends_when_its_process_is_killed() {
    let folder = reachable_folder();
    let (pid, _) = killed_process(folder.path(), &std::env::var("PATH").unwrap()).await;
    eventually("the server to end", || if is_alive(pid) { Err("it runs") } else { Ok(()) });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_left_behind_is_ended_by_the_next_start() {
    let folder = reachable_folder();
    // Without `setpriv` on its path the process cannot tie the server to itself.
    let (pid, url) = killed_process(folder.path(), "/nowhere").await;
    assert!(is_alive(pid), "invalid: nothing was left behind");
    let again = start(folder.path()).await;
    assert!(!is_alive(pid));
    assert_eq!(again.url(), url);
    assert_eq!(run(&url, "SELECT n FROM kept").await.unwrap(), 7);
    again.stop().await;
}
