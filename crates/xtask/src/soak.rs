//! The properties of the pure crates, tried far more often than CI has time for.

use clap::Args;

use crate::run::Step;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How many random playbooks and histories each property is tried on; CI tries 256. 10,000 for scoring took four
    /// minutes; those of identity take longer.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    cases: u32,
    /// Only properties of these crates: scoring, identity, qualification, handoff. Scoring and identity if none is named.
    crates: Vec<Pure>,
}

/// A crate whose tests have properties.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Pure {
    Scoring,
    Identity,
    Qualification,
    Handoff,
}

impl Pure {
    const fn package(self) -> &'static str {
        match self {
            Self::Scoring => "tasuki-scoring",
            Self::Identity => "tasuki-identity",
            Self::Qualification => "tasuki-qualification",
            Self::Handoff => "tasuki-handoff",
        }
    }
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let wanted = if options.crates.is_empty() { &[Pure::Scoring, Pure::Identity][..] } else { &options.crates };
    for of in wanted {
        Step::cargo("soak", &["test", "--locked", "--package", of.package(), "--tests"])
            .with("PROPTEST_CASES", &options.cases.to_string())
            .run()?;
    }
    Ok(())
}
