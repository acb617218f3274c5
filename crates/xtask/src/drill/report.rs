//! What came out: to people on standard error, to scripts as JSON.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use serde_json::{Value, json};

/// Most violations of one run that are written out.
const MOST_WRITTEN: usize = 20;

/// One run of one fault.
#[derive(Debug, Default)]
pub(crate) struct Run {
    pub(crate) fault: &'static str,
    pub(crate) seed: u64,
    /// How often it was tried until it landed; all else here is of the last attempt.
    pub(crate) attempts: u32,
    /// Behavior events of its load.
    pub(crate) events: usize,
    /// Whether the fault happened in the middle of work.
    pub(crate) landed: bool,
    /// What happened when, since the begin of the run.
    pub(crate) schedule: Vec<(Duration, String)>,
    /// Invariants that were looked at, and what was wrong.
    pub(crate) checked: BTreeMap<&'static str, Vec<String>>,
    /// What was wrong beside: a service that ended, lag that stayed.
    pub(crate) violations: Vec<String>,
    /// Why there is nothing to check.
    pub(crate) error: Option<String>,
    /// Figures: events, time to catch up ...
    pub(crate) figures: BTreeMap<&'static str, f64>,
    pub(crate) took: Duration,
}

/// Of a run, or of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verdict {
    /// It landed, and nothing was wrong.
    Pass,
    /// A fault did not land in the middle of work, so nothing is proved.
    Invalid,
    /// Something was wrong.
    Fail,
}

impl Verdict {
    const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Invalid => "invalid",
        }
    }

    const fn exit_code(self) -> u8 {
        match self {
            Self::Pass => 0,
            Self::Fail => 1,
            Self::Invalid => 2,
        }
    }
}

impl Run {
    /// All that was wrong, each with its invariant.
    fn all_violations(&self) -> Vec<String> {
        let of_invariant = |(invariant, found): (&&str, &Vec<String>)| {
            let more = found.len().saturating_sub(MOST_WRITTEN);
            let mut lines: Vec<_> =
                found.iter().take(MOST_WRITTEN).map(|text| format!("{invariant}: {text}")).collect();
            if more > 0 {
                lines.push(format!("{invariant}: and {more} more"));
            }
            lines
        };
        self.violations.iter().cloned().chain(self.checked.iter().flat_map(of_invariant)).collect()
    }

    /// What is wrong counts, whether or not the fault landed.
    pub(crate) fn verdict(&self) -> Verdict {
        let nothing_wrong = self.violations.is_empty() && self.checked.values().all(Vec::is_empty);
        match (nothing_wrong, self.landed && self.error.is_none()) {
            (false, _) => Verdict::Fail,
            (true, true) => Verdict::Pass,
            (true, false) => Verdict::Invalid,
        }
    }

    fn to_json(&self) -> Value {
        let schedule: Vec<_> =
            self.schedule.iter().map(|(at, what)| json!({"at_ms": millis(*at), "what": what})).collect();
        json!({
            "fault": self.fault, "seed": self.seed, "landed": self.landed, "violations": self.all_violations(),
            "attempts": self.attempts, "events": self.events,
            "verdict": self.verdict().name(), "checked": self.checked.keys().collect::<Vec<_>>(), "schedule": schedule,
            "error": self.error, "figures": self.figures, "seconds": self.took.as_secs_f64().round(),
        })
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let checked: Vec<_> = self.checked.keys().copied().collect();
        let Self { fault, seed, attempts, events, took, .. } = self;
        write!(
            f,
            "--- {fault} seed {seed} attempt {attempts} ({events} events): {} in {:.0} s; checked {}",
            self.verdict().name(),
            took.as_secs_f64(),
            checked.join(" ")
        )?;
        if !self.landed {
            write!(f, "\n    the fault did not land in the middle of work")?;
        }
        for line in self.error.iter().cloned().chain(self.all_violations()) {
            write!(f, "\n    {line}")?;
        }
        Ok(())
    }
}

/// All runs.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) runs: Vec<Run>,
}

impl Report {
    /// The worst of all runs; nothing proved if there was none.
    fn verdict(&self) -> Verdict {
        self.runs.iter().map(Run::verdict).max().unwrap_or(Verdict::Invalid)
    }

    /// Prints the verdict, writes the file, and gives the exit code.
    pub(crate) fn tell(&self, file: Option<&Path>) -> anyhow::Result<ExitCode> {
        let verdict = self.verdict();
        let runs: Vec<_> = self.runs.iter().map(Run::to_json).collect();
        let told = json!({"runs": runs, "verdict": verdict.name()});
        if let Some(path) = file {
            std::fs::write(path, serde_json::to_vec_pretty(&told)?)
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        println!("{told}");
        let passed = self.runs.iter().filter(|run| run.verdict() == Verdict::Pass).count();
        eprintln!("drill: {passed} of {} runs passed: {}", self.runs.len(), verdict.name());
        Ok(ExitCode::from(verdict.exit_code()))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdicts(runs: Vec<Run>) -> (Vec<Verdict>, Verdict) {
        let report = Report { runs };
        (report.runs.iter().map(Run::verdict).collect(), report.verdict())
    }

    #[test]
    fn what_is_wrong_counts_more_than_what_is_not_proved() {
        let good = || Run { landed: true, checked: [("I4", Vec::new())].into(), ..Run::default() };
        let bad = || Run { checked: [("I4", vec!["lost".to_owned()])].into(), ..Run::default() };
        let vacuous = || Run { landed: false, ..good() };
        let broken = || Run { error: Some("no broker".to_owned()), ..good() };
        assert_eq!(verdicts(vec![good()]).1, Verdict::Pass);
        assert_eq!(verdicts(vec![good(), vacuous()]).1, Verdict::Invalid);
        assert_eq!(verdicts(vec![good(), broken()]).1, Verdict::Invalid);
        assert_eq!(verdicts(vec![]).1, Verdict::Invalid);
        let (each, all) = verdicts(vec![vacuous(), bad(), good()]);
        assert_eq!((each, all), (vec![Verdict::Invalid, Verdict::Fail, Verdict::Pass], Verdict::Fail));
    }

    #[test]
    fn a_run_says_what_was_wrong_and_which_invariant_it_breaks() {
        let run = Run {
            fault: "F1",
            seed: 7,
            attempts: 2,
            events: 600,
            landed: true,
            violations: vec!["scoring ended".to_owned()],
            checked: [("I6", vec!["a gap".to_owned(); 22]), ("I8", vec![])].into(),
            ..Run::default()
        };
        let told = run.to_json();
        assert_eq!(told["checked"], json!(["I6", "I8"]));
        let violations = told["violations"].as_array().cloned().unwrap_or_default();
        assert_eq!(violations.len(), 22);
        assert_eq!((&violations[0], &violations[21]), (&json!("scoring ended"), &json!("I6: and 2 more")));
        assert_eq!((&told["fault"], &told["seed"], &told["landed"]), (&json!("F1"), &json!(7), &json!(true)));
        assert_eq!((&told["attempts"], &told["events"]), (&json!(2), &json!(600)));
    }
}
