//! The proxy before a real server.

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, PgConnection};
use tokio::runtime::Runtime;

use super::*;
use crate::eventually::eventually;
use crate::postgres::fresh_database;

/// A database with an empty table, a proxy before it, and a way past the proxy.
struct Stage {
    runtime: Runtime,
    proxy: PostgresProxy,
    direct: PgConnection,
}

impl Stage {
    fn set() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let url = fresh_database();
        let mut direct = runtime.block_on(PgConnection::connect(&url)).unwrap();
        runtime.block_on(direct.execute("CREATE TABLE numbers (number int)")).unwrap();
        Self { runtime, proxy: PostgresProxy::start(&url).unwrap(), direct }
    }

    fn connect(&self) -> PgConnection {
        let options: PgConnectOptions = self.proxy.url().parse().unwrap();
        self.runtime.block_on(options.application_name("a test").connect()).unwrap()
    }

    /// Three rows in one transaction; whether the client was told that it is durable.
    fn insert(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        self.runtime.block_on(async {
            let mut transaction = connection.begin().await?;
            transaction.execute("INSERT INTO numbers VALUES (1), (2)").await?;
            sqlx::query("INSERT INTO numbers VALUES ($1)").bind(3).execute(&mut *transaction).await?;
            transaction.commit().await
        })
    }

    fn rows(&mut self) -> i64 {
        let count = sqlx::query_scalar("SELECT count(*) FROM numbers").fetch_one(&mut self.direct);
        self.runtime.block_on(count).unwrap()
    }
}

fn commit(number: u32, rows: u64) -> Commit {
    Commit { number, application: "a test".to_owned(), rows }
}

#[test]
fn the_reply_of_the_second_commit_is_dropped_after_the_server_has_done_it() {
    let mut stage = Stage::set();
    let fate = Fate::Cut(Moment::After);
    stage.proxy.decide(move |commit| if commit.number == 2 { fate } else { Fate::Pass });
    let mut connection = stage.connect();
    stage.insert(&mut connection).unwrap();
    assert_eq!((stage.rows(), stage.proxy.landed()), (3, Vec::new()));
    stage.insert(&mut connection).unwrap_err();
    assert_eq!(stage.rows(), 6);
    assert_eq!(stage.proxy.landed(), [Landed { commit: commit(2, 3), fate }]);
    stage.insert(&mut stage.connect()).unwrap();
    assert_eq!((stage.rows(), stage.proxy.commits(), stage.proxy.landed().len()), (9, 3, 1));
}

#[test]
fn a_commit_by_the_extended_protocol_is_known_too() {
    let mut stage = Stage::set();
    let fate = Fate::Cut(Moment::After);
    stage.proxy.next(fate, |commit| commit.rows == 2);
    let mut connection = stage.connect();
    for (number, told) in [(1, true), (2, false)] {
        let outcome = stage.runtime.block_on(async {
            connection.execute("BEGIN").await?;
            let numbers = AssertSqlSafe(format!("INSERT INTO numbers SELECT generate_series(1, {number})"));
            sqlx::query(numbers).execute(&mut connection).await?;
            sqlx::query("COMMIT").persistent(true).execute(&mut connection).await
        });
        assert_eq!(outcome.is_ok(), told, "{outcome:?}");
    }
    assert_eq!((stage.rows(), stage.proxy.landed()), (3, vec![Landed { commit: commit(2, 2), fate }]));
}

#[test]
fn a_commit_that_is_cut_before_the_server_hears_it_is_not_done() {
    let mut stage = Stage::set();
    let fate = Fate::Cut(Moment::Before);
    stage.proxy.next(fate, |_| true);
    stage.insert(&mut stage.connect()).unwrap_err();
    assert_eq!((stage.rows(), stage.proxy.landed()), (0, vec![Landed { commit: commit(1, 3), fate }]));
}

#[test]
fn what_is_held_goes_on_when_it_is_released() {
    for (moment, before) in [(Moment::Before, 0), (Moment::After, 3)] {
        let mut stage = Stage::set();
        stage.proxy.next(Fate::Hold(moment), |_| true);
        let mut connection = stage.connect();
        let inserting = stage.runtime.spawn(async move {
            let mut transaction = connection.begin().await?;
            transaction.execute("INSERT INTO numbers VALUES (1), (2), (3)").await?;
            transaction.commit().await
        });
        eventually("the commit to be held", || if stage.proxy.held() == 1 { Ok(()) } else { Err("not held") });
        assert_eq!((stage.rows(), inserting.is_finished()), (before, false));
        stage.proxy.release();
        stage.runtime.block_on(inserting).unwrap().unwrap();
        assert_eq!((stage.rows(), stage.proxy.held()), (3, 0));
        assert_eq!(stage.proxy.landed(), [Landed { commit: commit(1, 3), fate: Fate::Hold(moment) }]);
    }
}

#[test]
fn what_is_late_arrives() {
    let mut stage = Stage::set();
    let mut connection = stage.connect();
    for moment in [Moment::Before, Moment::After] {
        let fate = Fate::Delay(moment, Duration::from_millis(150));
        stage.proxy.next(fate, |_| true);
        let begun = std::time::Instant::now();
        stage.insert(&mut connection).unwrap();
        assert!(begun.elapsed() >= Duration::from_millis(150));
        assert_eq!(stage.proxy.landed().last().unwrap().fate, fate);
    }
    assert_eq!(stage.rows(), 6);
}

#[test]
fn a_commit_that_the_server_refuses_has_not_landed() {
    let mut stage = Stage::set();
    stage.proxy.next(Fate::Cut(Moment::After), |_| true);
    let mut connection = stage.connect();
    let outcome = stage.runtime.block_on(async {
        connection.execute("BEGIN").await?;
        connection.execute("INSERT INTO numbers VALUES (1)").await?;
        connection.execute("SELECT 1 / 0").await.unwrap_err();
        connection.execute("COMMIT").await
    });
    // The server says ROLLBACK, and the client hears it.
    assert!(outcome.is_ok(), "{outcome:?}");
    assert_eq!((stage.rows(), stage.proxy.landed()), (0, Vec::new()));
    // What was meant for it is not kept for the next one.
    stage.insert(&mut connection).unwrap();
    assert_eq!((stage.rows(), stage.proxy.landed()), (3, Vec::new()));
}

#[test]
fn a_server_that_is_taken_away_comes_back() {
    let mut stage = Stage::set();
    let mut connection = stage.connect();
    stage.insert(&mut connection).unwrap();
    let bring_back = stage.proxy.take_away();
    stage.insert(&mut connection).unwrap_err();
    assert!(stage.runtime.block_on(PgConnection::connect(stage.proxy.url())).is_err());
    bring_back();
    stage.insert(&mut stage.connect()).unwrap();
    assert_eq!(stage.rows(), 6);
}

#[test]
fn what_is_held_may_never_arrive() {
    for (moment, after) in [(Moment::Before, 0), (Moment::After, 3)] {
        let mut stage = Stage::set();
        stage.proxy.next(Fate::Hold(moment), |_| true);
        let mut connection = stage.connect();
        let inserting = stage.runtime.spawn(async move {
            let mut transaction = connection.begin().await?;
            transaction.execute("INSERT INTO numbers VALUES (1), (2), (3)").await?;
            transaction.commit().await
        });
        eventually("the commit to be held", || if stage.proxy.held() == 1 { Ok(()) } else { Err("not held") });
        stage.proxy.cut_held();
        stage.runtime.block_on(inserting).unwrap().unwrap_err();
        assert_eq!((stage.rows(), stage.proxy.held()), (after, 0));
    }
}
