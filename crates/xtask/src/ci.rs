//! What CI checks.

use anyhow::bail;
use clap::Args;

use crate::run::Step;

/// Crates that must compile alone, without the clock and random features that a workspace build would switch on for them.
const PURE: [&str; 9] = [
    "tasuki-domain",
    "tasuki-wire",
    "tasuki-playbook",
    "tasuki-stream",
    "tasuki-import",
    "tasuki-identity",
    "tasuki-scoring",
    "tasuki-qualification",
    "tasuki-handoff",
];

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Only the steps whose name contains one of these.
    steps: Vec<String>,
    /// Name the steps and do nothing.
    #[arg(long)]
    list: bool,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let wanted =
        |step: &Step| options.steps.is_empty() || options.steps.iter().any(|part| step.name().contains(part.as_str()));
    let steps: Vec<Step> = steps().into_iter().filter(wanted).collect();
    if steps.is_empty() {
        bail!("no step is called so; `cargo xtask ci --list` names them");
    }
    for step in steps {
        if options.list {
            println!("{}", step.name());
        } else {
            step.run()?;
        }
    }
    Ok(())
}

fn steps() -> Vec<Step> {
    let mut purity = vec!["check", "--locked"];
    for name in PURE {
        purity.extend(["--package", name]);
    }
    vec![
        Step::cargo("format", &["fmt", "--all", "--check"]),
        Step::program("history", "tests/history", &[]),
        Step::cargo("purity", &purity),
        Step::cargo("clippy", &["clippy", "--locked", "--workspace", "--all-targets", "--", "--deny", "warnings"]),
        Step::cargo("rustdoc", &["doc", "--locked", "--workspace", "--no-deps"])
            .with("RUSTDOCFLAGS", "--deny warnings"),
        Step::cargo("tests", &["test", "--locked", "--workspace", "--exclude", "tasuki-tests"]),
        // Some seconds for each adapter of ingest, from the corpus on.
        Step::program("fuzz", "fuzz/run", &["4"]),
        Step::cargo("release build", &["build", "--locked", "--release", "--package", "tasuki"]),
        // One after another: each starts brokers, databases and browsers of its own.
        Step::cargo("end to end", &["test", "--locked", "--package", "tasuki-tests", "--", "--test-threads=1"]),
        // Faults in the middle of a transaction three times, the others once.
        drill("drill", &["--fault", "F1", "F12", "--repeats", "3", "--events", "3000"]),
        // They need work for as long as it takes to meet a transaction or a commit of the right kind.
        drill("drill late and unknown", &["--fault", "F3", "F9", "--repeats", "3", "--events", "10000"]),
        drill("drill once", &["--fault", "F4", "F5", "F11", "F13", "F14", "--storm-seconds", "60", "--events", "3000"]),
        drill("drill embedded", &["--log", "embedded", "--events", "20000"]),
    ]
}

/// A drill of the release build, small enough for CI, by this program itself.
fn drill(name: &'static str, words: &[&str]) -> Step {
    let all = [&["run", "--locked", "--quiet", "--package", "xtask", "--", "drill", "--release"], words];
    Step::cargo(name, &all.concat())
}
