//! Errors of the API: `{"code", "message"}`, where the message says what was found and what is allowed.

use axum::Json;
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tasuki_stream::log::PublishError;

use crate::routes::Console;
use crate::store::StoreError;

/// Why a request of the API is not answered as asked.
#[derive(Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    code: &'static str,
    message: String,
    /// For a value out of a closed list: the list.
    allowed: Option<Vec<&'static str>>,
    /// More for programs, under a name of its own.
    more: Option<(&'static str, Value)>,
}

impl ApiError {
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), allowed: None, more: None }
    }

    /// With something more for programs.
    pub(crate) fn with(self, name: &'static str, value: Value) -> Self {
        Self { more: Some((name, value)), ..self }
    }

    /// The token is missing or wrong.
    pub(crate) fn unauthorized() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "unauthorized",
            "no valid API token; expected the header \"Authorization: Bearer <API token>\"",
        )
    }

    /// No such address.
    pub(crate) fn no_route(method: &Method, path: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "no-such-address",
            format!(
                "nothing answers {method} {path}; there are GET /api/v1/leads, /api/v1/leads/{{id}}, \
                 /api/v1/leads/{{id}}/explain and /duplicates, /api/v1/accounts, \
                 /api/v1/accounts/{{id}}, /api/v1/handoffs, /api/v1/handoffs/{{id}}, /api/v1/playbooks, \
                 /api/v1/playbooks/{{version}}, /api/v1/dead-letters and POST /api/v1/handoffs/{{id}}/accept and /reject, \
                 /api/v1/leads/{{id}}/merge, /split and /explain, /api/v1/playbooks and /rollback"
            ),
        )
    }

    /// The address has other methods.
    pub(crate) fn wrong_method(method: &Method) -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "wrong-method",
            format!(
                "this address does not take {method}; accept, reject, merge, split and rollback take POST, playbooks and explain both, all others GET"
            ),
        )
    }

    /// The thing is not known.
    pub(crate) fn not_found(what: &str, id: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", format!("no {what} with id {id:?} is known"))
    }

    /// A parameter or field with a value that is not allowed.
    pub(crate) fn bad_request(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// A value outside a closed list.
    pub(crate) fn not_allowed(field: &str, found: &str, allowed: Vec<&'static str>) -> Self {
        let message = format!("{field} is {found:?}; allowed are {}", allowed.join(", "));
        Self { allowed: Some(allowed), ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, "not-allowed", message) }
    }

    /// The tables could not be read; says so to the log and to readiness.
    pub(crate) fn store(console: &Console, error: StoreError) -> Self {
        if console.failed(error) {
            Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "database-unavailable",
                "the database does not answer; the same request may work in a moment",
            )
        } else {
            Self::defect()
        }
    }

    /// The command could not be put on the log.
    pub(crate) fn publish(error: PublishError) -> Self {
        match error {
            PublishError::Unavailable(_) | PublishError::Overloaded => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "log-unavailable",
                "the command was not taken: the log does not answer; the same request may work in a moment, and will \
                 not count twice",
            ),
            PublishError::Refused(_) => Self::defect(),
        }
    }

    /// It took too long.
    pub(crate) fn late() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "late",
            "not answered in time; the same request may work in a moment, and a command will not count twice",
        )
    }

    /// What must not happen; the log has it.
    pub(crate) fn defect() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "defect", "a defect of ours; it has been logged")
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut body = json!({ "code": self.code, "message": self.message });
        if let Some(allowed) = self.allowed {
            body["allowed"] = json!(allowed);
        }
        if let Some((name, value)) = self.more {
            body[name] = value;
        }
        let mut response = (self.status, Json(body)).into_response();
        let headers = response.headers_mut();
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer realm=\"tasuki\""));
        }
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, header::HeaderValue::from_static("1"));
        }
        response
    }
}
