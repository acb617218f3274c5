//! Commands that ask a running console over HTTP instead of the log itself: so they work beside `tasuki up`, and pass the
//! same checks as what is given on the API.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use serde_json::Value;
use tasuki_service::{Exit, Failure};

use crate::secret::Secret;

/// The console answers within seconds, or says that it cannot.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Which console.
#[derive(Debug, Args)]
#[command(next_help_heading = "Where to")]
pub(crate) struct Place {
    /// Where the console is.
    #[arg(long, env = "TASUKI_CONSOLE_URL", default_value = "http://127.0.0.1:8471", value_name = "URL")]
    to: String,
    /// Token of its API; that of the installation if it is here.
    #[arg(long, env = "TASUKI_API_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    api_token: Option<String>,
    /// Folder of the installation, if it is here.
    #[arg(long, env = "TASUKI_DATA_DIR", default_value = ".tasuki", value_name = "FOLDER")]
    data_dir: PathBuf,
    /// The secret of the installation, if it is not in the data folder.
    #[arg(long, env = "TASUKI_SECRET", hide_env_values = true, value_name = "SECRET")]
    secret: Option<String>,
}

/// What the console answered.
#[derive(Debug)]
pub(crate) struct Answered {
    status: u16,
    pub(crate) body: Value,
}

impl Answered {
    /// Whether it is what was asked for.
    pub(crate) const fn is_good(&self) -> bool {
        matches!(self.status, 200..300)
    }

    /// The code of a refusal.
    pub(crate) fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }

    /// What was asked for.
    ///
    /// # Errors
    ///
    /// What the console says instead.
    pub(crate) fn good(self) -> Result<Value, Failure> {
        if self.is_good() {
            return Ok(self.body);
        }
        let message = self.body["message"].as_str().unwrap_or("it is not the API of a console");
        let exit = match self.status {
            401 => Exit::Config,
            503 => Exit::TemporaryFailure,
            _ => Exit::Data,
        };
        Err(Failure::new(exit, format!("the console answers {}", self.status), message))
    }
}

impl Place {
    /// Asks for something.
    pub(crate) fn get(&self, path: &str) -> anyhow::Result<Answered> {
        let (agent, address, token) = self.reach(path)?;
        let request = agent.get(&address).header("authorization", format!("Bearer {token}"));
        self.read(request.call())
    }

    /// Gives a command; the same key twice is one command.
    pub(crate) fn post(&self, path: &str, body: &Value, idempotency_key: Option<&str>) -> anyhow::Result<Answered> {
        let (agent, address, token) = self.reach(path)?;
        let mut request = agent.post(&address).header("authorization", format!("Bearer {token}"));
        if let Some(key) = idempotency_key {
            request = request.header("idempotency-key", key);
        }
        self.read(request.header("content-type", "application/json").send(body.to_string()))
    }

    fn reach(&self, path: &str) -> anyhow::Result<(ureq::Agent, String, String)> {
        if !self.to.starts_with("http://") {
            let what = format!("--to: {:?} is no address that begins with http://", self.to);
            let hint = "this build does not encrypt: give that of the console itself";
            return Err(Failure::new(Exit::Usage, what, hint).into());
        }
        let token = match &self.api_token {
            Some(token) => token.clone(),
            None => Secret::load(self.secret.as_deref(), &self.data_dir, false)?.api_token(),
        };
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(TIMEOUT))
            .max_redirects(0)
            .user_agent(concat!("tasuki/", env!("CARGO_PKG_VERSION")))
            .build();
        Ok((config.new_agent(), format!("{}{path}", self.to.trim_end_matches('/')), token))
    }

    fn read(&self, answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> anyhow::Result<Answered> {
        let mut answer = answer.map_err(|error| {
            let what = format!("no console answers at {}: {error}", self.to);
            Failure::new(Exit::Unavailable, what, "is it running there?")
        })?;
        let status = answer.status().as_u16();
        let text = answer.body_mut().read_to_string().context("the answer of the console breaks off")?;
        Ok(Answered { status, body: serde_json::from_str(&text).unwrap_or(Value::Null) })
    }
}
