//! `identity-memory`: how much memory a million visitors take who are not known yet, with three parked events each.

use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use serde_json::Value;

use super::report::{Figure, Reach};
use super::scaled;
use crate::run::top;

const VISITORS: u64 = 1_000_000;
/// What all of them may take, at scale 1.
const MOST_MB: f64 = 1_000.0;

/// Runs `crates/identity/examples/visitors.rs` in release: a process that holds nothing else.
pub(super) fn measure(scale: f64, done: &mut dyn FnMut(Figure)) -> anyhow::Result<()> {
    let visitors = scaled(VISITORS, scale);
    let number = visitors.to_string();
    let words =
        ["run", "--release", "--locked", "--package", "tasuki-identity", "--example", "visitors", "--", &number];
    let output = Command::new("cargo").args(words).current_dir(top()).stderr(Stdio::inherit()).output();
    let output = output.context("cannot run cargo")?;
    if !output.status.success() {
        bail!("cargo {} ended with {}", words.join(" "), output.status);
    }
    let told: Value = serde_json::from_slice(&output.stdout).context("it says nothing that can be read")?;
    let number = |name: &str| told[name].as_f64().with_context(|| format!("it says nothing of {name}"));
    let (states, resident) = (number("states")?, number("resident")? / 1e6);
    if told["states"].as_u64() != Some(visitors) {
        bail!("there are {states} states of {visitors} visitors");
    }
    let (each, state) = (number("bytes_per_visitor")?, number("state_bytes")? / states);
    let reported = number("reported_bytes")? / states;
    let told_row = format!(
        "{each:.0} bytes a visitor, {state:.0} of them key and state; 3 events each, {reported:.0} bytes as ingest wrote them; \
         resident memory of a process that holds 16 partitions and nothing else"
    );
    let most = Reach::AtMost(MOST_MB * scale.max(0.1));
    let mut figure = Figure::new("identity-memory", resident, "MB", Some(most), vec![resident]).telling(told_row);
    for name in ["visitors", "bytes_per_visitor", "state_bytes", "resident_before", "reported_bytes"] {
        figure = figure.with(name, told[name].clone());
    }
    done(figure);
    Ok(())
}
