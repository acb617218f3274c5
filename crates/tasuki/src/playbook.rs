//! `tasuki playbook`: whether a playbook is right, what it says, how two of them differ, and which one is in force.

mod life;

use std::fmt::Write as _;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};
use tasuki_playbook::lint::{Lint, Severity};
use tasuki_playbook::reps::Reps;
use tasuki_playbook::{Difference, Faults, Language, Playbook};
use tasuki_service::{Exit, Failure};

use crate::ask::Place;
use crate::settings;

/// Options of `tasuki playbook`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Say what is wrong with a playbook, and what is hardly meant so.
    ///
    /// Ends with 0 if nothing is, or notes only; with 1 if there are warnings; with 65 if it cannot be used.
    Check {
        /// The playbook: a file, or built-in, b2b-saas, industrial, insurance; built-in if not given.
        #[arg(env = "TASUKI_PLAYBOOK", value_name = "FILE")]
        playbook: Option<PathBuf>,
        /// Pools and reps, to see whether somebody is in each pool that a route hands to.
        #[arg(long, env = "TASUKI_REPS", value_name = "FILE")]
        reps: Option<PathBuf>,
        /// Warnings only.
        #[arg(long)]
        quiet: bool,
        /// One JSON object, instead of text.
        #[arg(long)]
        json: bool,
    },
    /// Print the JSON Schema of the file, for editors that complete and check it.
    Schema,
    /// Print a playbook as sentences, to be read aloud.
    Show {
        /// The playbook: a file, or built-in, b2b-saas, industrial, insurance; built-in if not given.
        #[arg(env = "TASUKI_PLAYBOOK", value_name = "FILE")]
        playbook: Option<PathBuf>,
        /// In which language.
        #[arg(long, default_value = "en", value_name = "LANGUAGE")]
        language: Tongue,
        /// The file itself, as it is.
        #[arg(long, conflicts_with = "json")]
        file: bool,
        /// One JSON object, instead of text.
        #[arg(long)]
        json: bool,
    },
    /// Say how a playbook differs from an earlier one, and whom that concerns.
    ///
    /// Ends with 0 if nothing differs, and with 1 if something does.
    Diff {
        /// The earlier one: a file, or built-in, b2b-saas, industrial, insurance.
        #[arg(value_name = "EARLIER")]
        earlier: PathBuf,
        /// The later one, likewise.
        #[arg(value_name = "LATER")]
        later: PathBuf,
        /// One JSON object, instead of text.
        #[arg(long)]
        json: bool,
    },
    /// Bring a playbook into force: from then on leads are scored by it, those scored before too.
    ///
    /// Ends with 0 once it is in force, also if it was; with 1 if there are warnings; with 65 if it cannot be used or its
    /// version is not above all before it. Nothing is changed in these cases.
    Publish {
        /// The playbook.
        #[arg(value_name = "FILE")]
        playbook: PathBuf,
        /// Publish it although `check` warns.
        #[arg(long)]
        despite_warnings: bool,
        #[command(flatten)]
        said: Said,
    },
    /// Bring a playbook that was in force before into force again.
    ///
    /// Ends with 0 once it is in force, also if it was; with 65 if none of that version was ever published.
    Rollback {
        /// Its version; the highest below that in force if not given.
        #[arg(id = "earlier_version", value_name = "VERSION")]
        version: Option<u32>,
        #[command(flatten)]
        said: Said,
    },
    /// Print which playbook is in force, and which were when and who published them.
    History {
        /// One JSON object, instead of text.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        place: Place,
    },
}

/// What commands that change something have in common.
#[derive(Debug, Args)]
struct Said {
    /// Who says so.
    #[arg(long, value_name = "NAME", default_value = "tasuki playbook")]
    by: String,
    /// One JSON object, instead of text.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Tongue {
    En,
    Ja,
}

/// Names the playbook of this program where a file is expected.
const BUILT_IN: &str = "built-in";

/// What a command prints, and its exit code.
type Answer = anyhow::Result<(String, u8)>;

/// Runs the command; what it found is the exit code.
pub(crate) fn run(options: Options) -> anyhow::Result<u8> {
    let (text, code) = answer(options.action)?;
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        // Whoever reads it has seen enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(code),
        written => written.map(|()| code).context("cannot print"),
    }
}

fn answer(action: Action) -> Answer {
    match action {
        Action::Check { playbook, reps, quiet, json } => check(playbook.as_deref(), reps.as_deref(), quiet, json),
        Action::Schema => Ok((pretty(&serde_json::to_value(tasuki_playbook::schema())?)?, 0)),
        Action::Show { playbook, file: true, .. } => Ok((text(playbook.as_deref())?, 0)),
        Action::Show { playbook, language, json, file: false } => show(playbook.as_deref(), language, json),
        Action::Diff { earlier, later, json } => diff(&earlier, &later, json),
        Action::Publish { playbook, despite_warnings, said: Said { by, json, place } } => {
            life::publish(&playbook, &by, despite_warnings, &place, json)
        }
        Action::Rollback { version, said: Said { by, json, place } } => life::roll_back(version, &by, &place, json),
        Action::History { json, place } => life::history(&place, json),
    }
}

fn check(path: Option<&Path>, reps: Option<&Path>, quiet: bool, as_json: bool) -> Answer {
    let text = text(path)?;
    let shown = path.map_or_else(|| BUILT_IN.to_owned(), |path| path.display().to_string());
    let playbook = match Playbook::parse(&text) {
        Ok(playbook) => playbook,
        Err(faults) => {
            return Ok((faulty(&shown, &faults, as_json)?, Exit::Data.code()));
        }
    };
    let reps = reps.map(|path| settings::reps(Some(path))).transpose()?;
    let empty = reps.map(|reps| empty_pools(&playbook, &reps)).unwrap_or_default();
    let wanted = |lint: &Lint| !quiet || lint.kind.severity() == Severity::Warning;
    let lints: Vec<_> = playbook.lints().into_iter().filter(wanted).collect();
    let warned = !empty.is_empty() || lints.iter().any(|lint| lint.kind.severity() == Severity::Warning);
    if as_json {
        let report = json!({
            "file": shown,
            "name": playbook.name(),
            "version": playbook.version().get(),
            "faults": [],
            "lints": lints.iter().map(lint_as_json).collect::<Vec<_>>(),
            "empty_pools": empty,
            "verdict": if warned { "warnings" } else { "good" },
        });
        return Ok((pretty(&report)?, u8::from(warned)));
    }
    let mut text = String::new();
    for lint in &lints {
        writeln!(text, "{shown}: {lint}")?;
    }
    for pool in &empty {
        writeln!(text, "{shown}: warning: routes hand to the pool \"{pool}\", and nobody is in it [empty-pool]")?;
    }
    let (rules, fit, routes) = (playbook.rules().len(), playbook.fit_rules().len(), playbook.routes().len());
    let (name, version) = (playbook.name(), playbook.version());
    writeln!(
        text,
        "{shown}: playbook {name}, version {version}, can be used: {rules} engagement rules, {fit} fit rules, {routes} routes"
    )?;
    Ok((text, u8::from(warned)))
}

/// The faults of a playbook that cannot be used.
fn faulty(shown: &str, faults: &Faults, as_json: bool) -> anyhow::Result<String> {
    if as_json {
        let of = |fault: &tasuki_playbook::Fault| json!({"line": fault.line, "column": fault.column, "problem": fault.problem});
        let faults: Vec<Value> = faults.iter().map(of).collect();
        let report = json!({"file": shown, "faults": faults, "lints": [], "empty_pools": [], "verdict": "faults"});
        return pretty(&report);
    }
    let mut text = String::new();
    for fault in faults.iter() {
        writeln!(text, "{shown}: {fault}")?;
    }
    writeln!(text, "{shown}: cannot be used: correct it at the places named")?;
    Ok(text)
}

fn lint_as_json(lint: &Lint) -> Value {
    json!({
        "kind": lint.kind.name(),
        "severity": lint.kind.severity().name(),
        "line": lint.line,
        "column": lint.column,
        "problem": lint.problem,
    })
}

/// Pools that routes hand to and that have no rep.
fn empty_pools(playbook: &Playbook, reps: &Reps) -> Vec<String> {
    let mut pools: Vec<&str> = playbook.routes().iter().map(|route| route.pool.as_str()).collect();
    pools.sort_unstable();
    pools.dedup();
    pools.into_iter().filter(|name| reps.pool(name).is_none()).map(str::to_owned).collect()
}

fn show(path: Option<&Path>, language: Tongue, as_json: bool) -> Answer {
    let playbook = read(path)?;
    let language = match language {
        Tongue::En => Language::En,
        Tongue::Ja => Language::Ja,
    };
    let sections = playbook.in_words(language);
    if as_json {
        let of =
            |section: &tasuki_playbook::Section| json!({"heading": section.heading, "sentences": section.sentences});
        let report = json!({
            "name": playbook.name(),
            "version": playbook.version().get(),
            "sections": sections.iter().map(of).collect::<Vec<_>>(),
        });
        return Ok((pretty(&report)?, 0));
    }
    let mut text = format!("{}, version {}\n", playbook.name(), playbook.version());
    for section in sections {
        writeln!(text, "\n{}", section.heading)?;
        for sentence in section.sentences {
            writeln!(text, "  {sentence}")?;
        }
    }
    Ok((text, 0))
}

fn pretty(report: &Value) -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(report)? + "\n")
}

fn diff(earlier: &Path, later: &Path, as_json: bool) -> Answer {
    let (before, after) = (read(Some(earlier))?, read(Some(later))?);
    let differences = before.differences(&after);
    let raised = after.version() > before.version();
    if as_json {
        let report = json!({
            "earlier": {"name": before.name(), "version": before.version().get()},
            "later": {"name": after.name(), "version": after.version().get()},
            "version_raised": raised,
            "differences": differences.iter().map(difference_as_json).collect::<Vec<_>>(),
        });
        return Ok((pretty(&report)?, u8::from(!differences.is_empty())));
    }
    let mut text = String::new();
    for difference in &differences {
        text.push_str(&difference_in_words(difference)?);
    }
    if differences.is_empty() {
        writeln!(text, "nothing differs")?;
    } else if !raised {
        let (was, is) = (before.version(), after.version());
        writeln!(text, "the version goes from {was} to {is}: raise it, since it stands on every decision")?;
    }
    Ok((text, u8::from(!differences.is_empty())))
}

fn difference_as_json(difference: &Difference) -> Value {
    json!({
        "part": difference.part,
        "name": difference.name,
        "change": difference.change.name(),
        "before": difference.before,
        "after": difference.after,
        "concerns": difference.concerns,
    })
}

fn difference_in_words(difference: &Difference) -> anyhow::Result<String> {
    let Difference { part, name, change, before, after, concerns } = difference;
    let space = if name.is_empty() { "" } else { " " };
    let mut text = format!("{part}{space}{name}: {}\n", change.name());
    for (sign, sentence) in [("-", before), ("+", after)] {
        if !sentence.is_empty() {
            writeln!(text, "  {sign} {sentence}")?;
        }
    }
    writeln!(text, "    concerns {concerns}")?;
    Ok(text)
}

/// The text of a file, or of a ready-made playbook.
fn text(path: Option<&Path>) -> anyhow::Result<String> {
    let Some(path) = path else { return Ok(Playbook::DEFAULT.to_owned()) };
    if let Some(text) = path.to_str().and_then(Playbook::ready_made) {
        return Ok(text.to_owned());
    }
    let bytes = std::fs::read(path).map_err(|error| {
        Failure::new(Exit::NoInput, format!("cannot read {}: {error}", path.display()), "give the path of a playbook")
    })?;
    match String::from_utf8(bytes) {
        Ok(text) => Ok(text),
        Err(error) => {
            let at = error.utf8_error().valid_up_to();
            bail!(Failure::new(
                Exit::Data,
                format!("{} is not text in UTF-8: byte {at} is not", path.display()),
                "save it as UTF-8",
            ))
        }
    }
}

/// A playbook out of a file, or a ready-made one.
pub(crate) fn read(path: Option<&Path>) -> anyhow::Result<Playbook> {
    let text = text(path)?;
    let shown = path.unwrap_or(Path::new(BUILT_IN)).display();
    Ok(Playbook::parse(&text).map_err(|faults| {
        Failure::new(Exit::Data, format!("{shown}: {faults}"), "correct the file at the places named")
    })?)
}
