//! Waiting for what must come, without sleeping for what may be.

use std::fmt::Display;
use std::thread;
use std::time::{Duration, Instant};

/// How long a test waits for anything before it counts as never: ample on a machine that is busy building.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// How often a predicate is asked.
const PAUSE: Duration = Duration::from_millis(5);

/// Asks until the answer is `Ok`, and returns it.
///
/// # Panics
///
/// If [`PATIENCE`] runs out; the message holds `what` was waited for and the last refusal.
#[track_caller]
pub fn eventually<T, E: Display>(what: &str, ask: impl FnMut() -> Result<T, E>) -> T {
    within(PATIENCE, what, ask)
}

/// Asks until the answer is `Ok`, and returns it; but not for longer than `patience`.
///
/// # Panics
///
/// If `patience` runs out; the message holds `what` was waited for and the last refusal.
#[track_caller]
#[allow(clippy::panic, reason = "how a test fails")]
pub fn within<T, E: Display>(patience: Duration, what: &str, mut ask: impl FnMut() -> Result<T, E>) -> T {
    let begun = Instant::now();
    loop {
        match ask() {
            Ok(answer) => return answer,
            Err(refusal) if begun.elapsed() >= patience => panic!("waited {patience:?} for {what}: {refusal}"),
            Err(_) => thread::sleep(PAUSE),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn returns_the_first_answer() {
        let mut asked = 0;
        let answer = eventually("the third question", || {
            asked += 1;
            if asked == 3 { Ok("yes") } else { Err("not yet") }
        });
        assert_eq!((answer, asked), ("yes", 3));
    }

    #[test]
    #[should_panic(expected = "for the moon: it is far")]
    fn fails_with_the_last_refusal() {
        within(Duration::ZERO, "the moon", || Err::<(), _>("it is far"));
    }
}
