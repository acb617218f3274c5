//! What stands behind the `?` of an address, checked.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use axum::extract::Query;
use axum::http::Uri;

use super::ApiError;
use crate::store::{DEFAULT_LIMIT, MOST};

/// Parameters by name, all of them known to the address.
#[derive(Debug)]
pub(super) struct Parameters(BTreeMap<String, String>);

impl Parameters {
    /// Reads them; one that is not in `allowed` is an error, because it would be ignored in silence.
    pub(super) fn read(uri: &Uri, allowed: &[&str]) -> Result<Self, ApiError> {
        let Query(parameters) = Query::<BTreeMap<String, String>>::try_from_uri(uri)
            .map_err(|error| ApiError::bad_request("bad-parameter", error.body_text()))?;
        match parameters.keys().find(|name| !allowed.contains(&name.as_str())) {
            Some(unknown) => Err(ApiError::bad_request(
                "unknown-parameter",
                format!("there is no parameter {unknown:?}; allowed are {}", allowed.join(", ")),
            )),
            None => Ok(Self(parameters)),
        }
    }

    /// As written; `None` if it is missing or empty.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|text| !text.is_empty())
    }

    /// Read as what it must be.
    pub(super) fn parsed<T: FromStr<Err: fmt::Display>>(&self, name: &str) -> Result<Option<T>, ApiError> {
        self.text(name)
            .map(|text| {
                text.parse()
                    .map_err(|error| ApiError::bad_request("bad-parameter", format!("{name} is {text:?}: {error}")))
            })
            .transpose()
    }

    /// `limit`: how many rows at most.
    pub(super) fn limit(&self) -> Result<usize, ApiError> {
        let Some(text) = self.text("limit") else { return Ok(DEFAULT_LIMIT) };
        match text.parse() {
            Ok(limit) if (1..=MOST).contains(&limit) => Ok(limit),
            Ok(_) | Err(_) => Err(ApiError::bad_request(
                "bad-parameter",
                format!("limit is {text:?}; allowed are whole numbers from 1 to {MOST}"),
            )),
        }
    }
}
