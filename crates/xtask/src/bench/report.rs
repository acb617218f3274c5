//! Figures, as a table for people and as JSON for scripts.

use std::fmt;
use std::path::Path;

use anyhow::Context;
use serde_json::json;

use crate::run::top;

/// The samples of one figure.
#[derive(Debug)]
pub(crate) struct Measured {
    benchmark: &'static str,
    what: &'static str,
    unit: &'static str,
    samples: Vec<f64>,
}

impl Measured {
    pub(crate) fn new(benchmark: &'static str, what: &'static str, unit: &'static str) -> Self {
        Self { benchmark, what, unit, samples: Vec::new() }
    }

    pub(crate) fn add(&mut self, sample: f64) {
        self.samples.push(sample);
    }

    /// The smallest sample that at least this share (in thousandths) of the samples do not exceed.
    fn quantile(&self, thousandths: usize) -> f64 {
        let mut sorted = self.samples.clone();
        sorted.sort_by(f64::total_cmp);
        let rank = (sorted.len() * thousandths).div_ceil(1_000).clamp(1, sorted.len().max(1));
        sorted.get(rank - 1).copied().unwrap_or(f64::NAN)
    }

    fn row(&self) -> String {
        let Self { benchmark, what, unit, samples } = self;
        match samples.as_slice() {
            [one] => format!("| {benchmark} | {what} | {one:.0} {unit} | | 1 |"),
            many => {
                let (p50, p99) = (self.quantile(500), self.quantile(990));
                format!("| {benchmark} | {what} | {p50:.0} {unit} | {p99:.0} {unit} | {} |", many.len())
            }
        }
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.row())
    }
}

const START: &str = "<!-- figures: written by cargo xtask bench --write -->";
const END: &str = "<!-- end of figures -->";

/// Prints the table; writes it where asked.
pub(crate) fn write(measured: &[Measured], json_file: Option<&Path>, into_docs: bool) -> anyhow::Result<()> {
    let rows: Vec<_> = measured.iter().map(Measured::row).collect();
    let table = format!(
        "| benchmark | figure | p50, or the one value | p99 | samples |\n|---|---|---:|---:|---:|\n{}\n",
        rows.join("\n")
    );
    println!("{table}");
    if let Some(path) = json_file {
        let results: Vec<_> = measured
            .iter()
            .map(|m| json!({"name": format!("{}: {}", m.benchmark, m.what), "value": m.quantile(500), "p99": m.quantile(990), "unit": m.unit, "samples": m.samples}))
            .collect();
        std::fs::write(path, serde_json::to_vec_pretty(&json!({ "results": results }))?)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    if into_docs {
        let path = top().join("docs/BENCHMARKS.md");
        let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let (before, rest) =
            text.split_once(START).with_context(|| format!("{} has no line {START}", path.display()))?;
        let (_, after) = rest.split_once(END).with_context(|| format!("{} has no line {END}", path.display()))?;
        std::fs::write(&path, format!("{before}{START}\n\n{table}\n{END}{after}"))?;
    }
    Ok(())
}
