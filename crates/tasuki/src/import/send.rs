//! Sending portions to ingest: several at once, each again until it is durable.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::portion::{Portion, SentRow};
use super::report::BadRow;
use super::source::Opened;
use super::{Options, Stopped};
use crate::secret::Secret;

/// Requests at once. Order does not matter: events have their own times and ids.
const AT_ONCE: usize = 4;

/// Ingest answers within four seconds, or says that it cannot.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The longest wait before a request is sent again.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// What ingest said to a portion.
#[derive(Debug)]
pub(super) struct Answer {
    /// Rows that looked right and were refused.
    pub(super) refused: Vec<(SentRow, BadRow)>,
}

/// Portions on their way.
#[derive(Debug)]
pub(super) struct Sending {
    portions: SyncSender<Portion>,
    answers: Receiver<Result<Answer, String>>,
    threads: Vec<JoinHandle<()>>,
    /// Whether anything was taken.
    taken: bool,
}

/// One of those who send.
struct Post {
    agent: ureq::Agent,
    url: String,
    authorization: String,
    patience: Duration,
    stopped: Arc<AtomicBool>,
}

/// What became of one attempt.
enum Attempt {
    Done(Value),
    /// It may be taken later, at the earliest after so long.
    Later(String, Option<Duration>),
    /// Ingest is well; the source has sent as much as it may, and may go on after so long.
    Slower(Duration),
    Never(String),
}

impl Sending {
    pub(super) fn start(options: &Options, opened: &Opened) -> anyhow::Result<Self> {
        let place = &options.place;
        if !place.to.starts_with("http://") {
            let what =
                format!("--to: {:?} is no address that begins with http://; this build does not encrypt", place.to);
            return Err(Stopped::before(what).into());
        }
        let key = match &place.write_key {
            Some(key) => key.clone(),
            None => {
                let secret = Secret::load(place.secret.as_deref(), &place.data_dir, false).map_err(|_| {
                    let folder = place.data_dir.display();
                    Stopped::before(format!(
                        "--write-key is missing, and there is no installation in {folder} to take it from"
                    ))
                })?;
                secret.write_key()
            }
        };
        let encoded = |text: &str| -> String {
            text.bytes()
                .map(|byte| {
                    if byte.is_ascii_alphanumeric() || b"-._".contains(&byte) {
                        char::from(byte).to_string()
                    } else {
                        format!("%{byte:02X}")
                    }
                })
                .collect()
        };
        let (file, charset) = (encoded(&opened.name), opened.detected.charset.label());
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(TIMEOUT))
            .max_redirects(0)
            .user_agent(concat!("tasuki-import/", env!("CARGO_PKG_VERSION")))
            .build();
        let post = Arc::new(Post {
            agent: config.new_agent(),
            url: format!("{}/v1/rows?file={file}&charset={charset}", place.to.trim_end_matches('/')),
            authorization: format!(
                "Basic {}",
                base64::Engine::encode(&base64::engine::general_purpose::STANDARD, format!("{key}:"))
            ),
            patience: Duration::from_secs(place.patience_s),
            stopped: Arc::new(AtomicBool::new(false)),
        });
        let (portions, waiting) = sync_channel(AT_ONCE);
        let (said, answers) = channel();
        let waiting = Arc::new(Mutex::new(waiting));
        let threads = (0..AT_ONCE)
            .map(|_| {
                let (post, waiting, said) = (Arc::clone(&post), Arc::clone(&waiting), said.clone());
                std::thread::spawn(move || post.work(&waiting, &said))
            })
            .collect();
        Ok(Self { portions, answers, threads, taken: false })
    }

    /// Hands a portion over, once there is room; gives what was answered to earlier ones.
    pub(super) fn send(&mut self, portion: Portion) -> Result<Vec<Answer>, Stopped> {
        if !portion.is_empty() && self.portions.send(portion).is_err() {
            // All who send have ended: why stands in the answers.
            let last: Vec<_> = self.answers.try_iter().collect();
            return self.heard(last);
        }
        let answered: Vec<_> = self.answers.try_iter().collect();
        self.heard(answered)
    }

    /// Waits until everything is durable.
    pub(super) fn finish(self) -> Result<Vec<Answer>, Stopped> {
        let Self { portions, answers, threads, mut taken } = self;
        drop(portions);
        let mut all = Vec::new();
        for answer in answers.iter() {
            let answer = answer.map_err(|what| stopped(what, taken))?;
            taken = true;
            all.push(answer);
        }
        for thread in threads {
            thread.join().map_err(|_| Stopped::Amid("a thread that sends ended by a defect".to_owned()))?;
        }
        Ok(all)
    }

    fn heard(&mut self, answers: Vec<Result<Answer, String>>) -> Result<Vec<Answer>, Stopped> {
        let mut all = Vec::new();
        for answer in answers {
            let answer = answer.map_err(|what| stopped(what, self.taken))?;
            self.taken = true;
            all.push(answer);
        }
        Ok(all)
    }
}

fn stopped(what: String, taken: bool) -> Stopped {
    if taken { Stopped::Amid(what) } else { Stopped::Before(what) }
}

impl Post {
    fn work(&self, waiting: &Mutex<Receiver<Portion>>, said: &Sender<Result<Answer, String>>) {
        loop {
            // Nothing that holds it can panic.
            let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(portion) = next else { return };
            if self.stopped.load(Ordering::Relaxed) {
                return;
            }
            let answer = self.post(portion);
            let failed = answer.is_err();
            self.stopped.fetch_or(failed, Ordering::Relaxed);
            if said.send(answer).is_err() || failed {
                return;
            }
        }
    }

    /// Sends a portion until it is taken.
    fn post(&self, portion: Portion) -> Result<Answer, String> {
        let (body, rows) = portion.into_parts();
        let mut failing_since = None;
        let mut wait = Duration::from_millis(200);
        loop {
            match self.attempt(&body) {
                Attempt::Done(answer) => return Ok(Answer { refused: refused(&answer, rows) }),
                Attempt::Never(what) => return Err(what),
                Attempt::Slower(pause) => {
                    if self.stopped.load(Ordering::Relaxed) {
                        return Err("another request has failed".to_owned());
                    }
                    failing_since = None;
                    std::thread::sleep(pause);
                }
                Attempt::Later(what, at_the_earliest) => {
                    let since = failing_since.get_or_insert_with(Instant::now);
                    if since.elapsed() > self.patience || self.stopped.load(Ordering::Relaxed) {
                        return Err(format!("{}: {what}", self.url.split('?').next().unwrap_or_default()));
                    }
                    tracing::warn!(error = what, "ingest does not take rows; trying again");
                    std::thread::sleep(at_the_earliest.unwrap_or(wait).min(LONGEST_WAIT));
                    wait = (wait * 2).min(LONGEST_WAIT);
                }
            }
        }
    }

    fn attempt(&self, body: &str) -> Attempt {
        let request = self.agent.post(&self.url).header("authorization", &self.authorization);
        let mut response = match request.content_type("application/json").send(body) {
            Ok(response) => response,
            Err(error) => return Attempt::Later(format!("ingest does not answer: {error}"), None),
        };
        let status = response.status().as_u16();
        let seconds = response.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
        match status {
            200 => match response.body_mut().read_json() {
                Ok(answer) => Attempt::Done(answer),
                // It was taken; whether as told is not known before it is sent again.
                Err(error) => Attempt::Later(format!("the answer of ingest cannot be read: {error}"), None),
            },
            401 => Attempt::Never("ingest does not know this write key: give --write-key that of a source".to_owned()),
            429 => Attempt::Slower(Duration::from_secs(seconds.unwrap_or(1))),
            408 | 500.. => Attempt::Later(format!("ingest answers {status}"), seconds.map(Duration::from_secs)),
            _ => {
                let said = response.body_mut().read_to_string().unwrap_or_default();
                Attempt::Never(format!("ingest answers {status}: {said}; is this its address?"))
            }
        }
    }
}

/// The rows of which an event was refused, though they looked right.
fn refused(answer: &Value, rows: Vec<SentRow>) -> Vec<(SentRow, BadRow)> {
    let faults: HashMap<usize, &Value> = answer["bad"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|bad| Some((usize::try_from(bad["item"].as_u64()?).ok()?, bad)))
        .collect();
    let fault = |row: &SentRow| row.items.clone().find_map(|item| faults.get(&item).copied());
    let text = |bad: &Value, name: &str| bad[name].as_str().unwrap_or_default().to_owned();
    let mut refused = Vec::new();
    for row in rows {
        if let Some(bad) = fault(&row) {
            let bad = BadRow {
                line: row.line,
                column: None,
                code: text(bad, "code"),
                said: text(bad, "message"),
                problem: text(bad, "message"),
            };
            refused.push((row, bad));
        }
    }
    refused
}

#[cfg(test)]
mod tests {
    use tasuki_import::Code;

    #[test]
    fn ingest_knows_every_code_of_a_bad_row() {
        let codes: Vec<_> = Code::ALL.iter().map(|code| code.name()).collect();
        assert_eq!(codes, tasuki_ingest::adapter::ROW_CODES);
    }
}
