//! What the console tells operators. Nothing here names a lead or a person.

use std::time::Duration;

use axum::http::StatusCode;
use metrics::{Unit, describe_counter, describe_histogram};
use tasuki_stream::log::PublishError;

const REQUESTS: &str = "tasuki_console_requests_total";
const REQUEST_TIME: &str = "tasuki_console_request_seconds";
const COMMANDS: &str = "tasuki_console_commands_total";
const SIGN_INS: &str = "tasuki_console_sign_ins_total";
const UNAUTHORIZED: &str = "tasuki_console_unauthorized_total";

/// Says of every metric what it is. To be called once a recorder is installed.
pub fn describe() {
    describe_counter!(
        REQUESTS,
        "Requests answered, by surface (page, api, asset) and status (2xx, 3xx, 4xx, 5xx). 5xx above 0 means that the \
         database or the log is away, or a defect of ours; the log of the process says which."
    );
    describe_histogram!(
        REQUEST_TIME,
        Unit::Seconds,
        "How long an answer took, by surface. Pages slower than a second are felt: look at the database first."
    );
    describe_counter!(
        COMMANDS,
        "Commands of people, by verb (accept, reject, merge, split, publish, rollback) and outcome: sent (durable on the log), unavailable (the log did \
         not take it; the caller was told), refused (the log never will: a defect)."
    );
    describe_counter!(
        SIGN_INS,
        "Attempts to sign in on the page, by outcome (done, refused). Many refused ones: somebody is guessing."
    );
    describe_counter!(
        UNAUTHORIZED,
        "Requests of the API without the right token. A steady rate is a script with an old token."
    );
}

/// What kind of answer a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Surface {
    Page,
    Api,
    Asset,
}

impl Surface {
    const fn name(self) -> &'static str {
        match self {
            Self::Page => "page",
            Self::Api => "api",
            Self::Asset => "asset",
        }
    }
}

/// What became of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CommandOutcome {
    Sent,
    Unavailable,
    Refused,
}

impl CommandOutcome {
    /// What became of one that was to be put on the log.
    pub(crate) const fn of(sent: &Result<(), PublishError>) -> Self {
        match sent {
            Ok(()) => Self::Sent,
            Err(PublishError::Unavailable(_) | PublishError::Overloaded) => Self::Unavailable,
            Err(PublishError::Refused(_)) => Self::Refused,
        }
    }
}

pub(crate) fn request(surface: Surface, status: StatusCode, took: Duration) {
    let status = match status.as_u16() / 100 {
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        _ => "5xx",
    };
    metrics::counter!(REQUESTS, "surface" => surface.name(), "status" => status).increment(1);
    metrics::histogram!(REQUEST_TIME, "surface" => surface.name()).record(took.as_secs_f64());
}

pub(crate) fn command(verb: &'static str, outcome: CommandOutcome) {
    let outcome = match outcome {
        CommandOutcome::Sent => "sent",
        CommandOutcome::Unavailable => "unavailable",
        CommandOutcome::Refused => "refused",
    };
    metrics::counter!(COMMANDS, "verb" => verb, "outcome" => outcome).increment(1);
}

pub(crate) fn sign_in(done: bool) {
    metrics::counter!(SIGN_INS, "outcome" => if done { "done" } else { "refused" }).increment(1);
}

pub(crate) fn unauthorized() {
    metrics::counter!(UNAUTHORIZED).increment(1);
}
