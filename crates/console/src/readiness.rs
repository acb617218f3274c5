//! Whether the console can answer: whether the tables can be read.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::PgPool;
use tasuki_service::{Component, Health};

/// How long between two looks whether the database is back.
const BETWEEN_LOOKS: Duration = Duration::from_millis(500);

/// Tells readiness of the database, and looks for it while it is away. While it is there nobody asks: the requests
/// themselves notice when it goes.
#[derive(Clone)]
pub(crate) struct Readiness {
    pool: PgPool,
    component: Component,
    looking: Arc<AtomicBool>,
}

impl Readiness {
    /// Waiting, until [`Readiness::look`] has found the tables.
    pub(crate) fn new(pool: PgPool, health: &Health) -> Self {
        Self { pool, component: health.component("console"), looking: Arc::new(AtomicBool::new(false)) }
    }

    /// The tables cannot be read: says so, and goes on looking for them in the background until they are back or the
    /// pool is closed.
    pub(crate) fn look(&self) {
        if self.looking.swap(true, Ordering::AcqRel) {
            return;
        }
        let this = self.clone();
        tokio::spawn(async move {
            while let Err(error) = sqlx::query("select 1 from tasuki.lead_current limit 1").execute(&this.pool).await {
                if this.pool.is_closed() {
                    break;
                }
                this.component.waiting(format!("the tables cannot be read: {error}"));
                tokio::time::sleep(BETWEEN_LOOKS).await;
            }
            // First the flag: who finds the database gone right after this starts looking again.
            this.looking.store(false, Ordering::Release);
            if this.pool.is_closed() {
                this.component.waiting("stopping");
            } else {
                this.component.ready();
            }
        });
    }
}

impl fmt::Debug for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Readiness({:?})", self.component)
    }
}
