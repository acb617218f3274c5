//! Figures, as a table for people and as JSON for scripts.

use std::path::Path;

use anyhow::Context;
use serde_json::{Value, json};

use crate::run::top;

/// What a figure must reach.
#[derive(Clone, Copy, Debug)]
pub(super) enum Reach {
    AtLeast(f64),
    AtMost(f64),
    Below(f64),
}

/// One figure of a benchmark.
#[derive(Clone, Debug)]
pub(super) struct Figure {
    /// The benchmark's name; of its further figures, followed by a colon and which.
    name: String,
    /// `NaN` if it could not be measured.
    value: f64,
    unit: &'static str,
    reach: Option<Reach>,
    samples: Vec<f64>,
    /// What a reader should know beside the value, in brief.
    told: String,
    more: serde_json::Map<String, Value>,
    failures: Vec<String>,
}

impl Reach {
    fn is_reached(self, value: f64) -> bool {
        match self {
            Self::AtLeast(least) => value >= least,
            Self::AtMost(most) => value <= most,
            Self::Below(limit) => value < limit,
        }
    }

    fn number(self) -> f64 {
        match self {
            Self::AtLeast(number) | Self::AtMost(number) | Self::Below(number) => number,
        }
    }

    fn shown(self) -> String {
        match self {
            Self::AtLeast(least) => format!("at least {}", short(least)),
            Self::AtMost(most) => format!("at most {}", short(most)),
            Self::Below(limit) => format!("below {}", short(limit)),
        }
    }
}

impl Figure {
    /// A figure with the samples it follows from.
    pub(super) fn new(
        name: impl Into<String>,
        value: f64,
        unit: &'static str,
        reach: Option<Reach>,
        samples: Vec<f64>,
    ) -> Self {
        let more = serde_json::Map::new();
        Self { name: name.into(), value, unit, reach, samples, told: String::new(), more, failures: Vec::new() }
    }

    /// A figure that could not be measured.
    pub(super) fn failed(name: &str, error: &anyhow::Error) -> Self {
        Self::new(name, f64::NAN, "", None, Vec::new()).because(vec![format!("{error:#}")])
    }

    /// With what a reader should know.
    pub(super) fn telling(mut self, told: impl Into<String>) -> Self {
        self.told = told.into();
        self
    }

    /// With one more field in the JSON.
    pub(super) fn with(mut self, name: &str, value: Value) -> Self {
        self.more.insert(name.to_owned(), value);
        self
    }

    /// With what went wrong, if anything did.
    pub(super) fn because(mut self, failures: Vec<String>) -> Self {
        self.failures = failures;
        self
    }

    /// Which figure.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Whether it was measured as it should have been.
    pub(super) fn is_whole(&self) -> bool {
        self.value.is_finite() && self.failures.is_empty()
    }

    fn json(&self) -> Value {
        let mut all = json!({
            "name": self.name,
            "value": self.value.is_finite().then_some(self.value),
            "unit": self.unit,
            "target": self.reach.map(Reach::number),
            "must_be": self.reach.map(Reach::shown),
            "reached": self.reach.map(|reach| reach.is_reached(self.value)),
            "samples": self.samples,
            "told": self.told,
        });
        if !self.failures.is_empty() {
            all["failures"] = json!(self.failures);
        }
        if let Some(fields) = all.as_object_mut() {
            fields.extend(self.more.clone());
        }
        all
    }

    /// Its row of the table.
    pub(super) fn row(&self) -> String {
        let value =
            if self.value.is_finite() { format!("{} {}", short(self.value), self.unit) } else { "-".to_owned() };
        let target = self.reach.map_or_else(String::new, Reach::shown);
        let reached = match self.reach {
            None => "",
            Some(reach) if reach.is_reached(self.value) => "yes",
            Some(_) => "**no**",
        };
        let mut told = self.told.clone();
        for failure in &self.failures {
            let first = failure.lines().next().unwrap_or_default();
            told = format!("{told}{}failed: {first}", if told.is_empty() { "" } else { "; " });
        }
        format!("| {} | {} | {target} | {reached} | {} |", self.name, value.trim(), told.replace('|', "/"))
    }
}

/// Three digits are enough to read.
fn short(value: f64) -> String {
    let size = value.abs();
    if size >= 100.0 {
        format!("{value:.0}")
    } else if size >= 10.0 {
        format!("{value:.1}")
    } else {
        let text = format!("{value:.2}");
        text.strip_suffix(".00").map_or(text.clone(), str::to_owned)
    }
}

/// The middle one; of an even number, half-way between the two; `NaN` of none.
pub(super) fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match (sorted.get(middle), sorted.len() % 2) {
        (None, _) => f64::NAN,
        (Some(&one), 1) => one,
        (Some(&upper), _) => f64::midpoint(sorted[middle - 1], upper),
    }
}

/// The smallest sample that at least this share (in thousandths) of the samples do not exceed; `NaN` of none.
pub(super) fn quantile(samples: &[f64], thousandths: usize) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (sorted.len() * thousandths).div_ceil(1_000).max(1);
    sorted.get(rank - 1).copied().unwrap_or(f64::NAN)
}

/// Writes all figures so far.
pub(super) fn write_json(figures: &[Figure], path: &Path) -> anyhow::Result<()> {
    let results: Vec<_> = figures.iter().map(Figure::json).collect();
    let text = serde_json::to_vec_pretty(&json!({ "results": results }))?;
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

const START: &str = "<!-- figures: written by cargo xtask bench --write -->";
const END: &str = "<!-- end of figures -->";
const HEAD: &str = "| benchmark | value | must be | reached | in detail |\n|---|---:|---|---|---|\n";

/// The table, printed or put into the docs.
pub(super) fn table(figures: &[Figure]) -> String {
    let rows: Vec<_> = figures.iter().map(Figure::row).collect();
    format!("{HEAD}{}\n", rows.join("\n"))
}

/// Puts the rows of these figures into docs/BENCHMARKS.md. Rows of other benchmarks stay as they are.
pub(super) fn write_docs(figures: &[Figure]) -> anyhow::Result<()> {
    let path = top().join("docs/BENCHMARKS.md");
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let merged = merge(&text, figures).with_context(|| format!("{} has no lines {START} and {END}", path.display()))?;
    std::fs::write(&path, merged).with_context(|| format!("cannot write {}", path.display()))
}

fn merge(text: &str, figures: &[Figure]) -> Option<String> {
    let (before, rest) = text.split_once(START)?;
    let (table, after) = rest.split_once(END)?;
    let name = |row: &str| row.split('|').nth(1).map(|name| name.trim().to_owned()).unwrap_or_default();
    let rows = table.lines().filter(|line| line.starts_with("| ") && name(line) != "benchmark");
    let mut rows: Vec<_> = rows.map(|line| (name(line), line.to_owned())).collect();
    for figure in figures {
        match rows.iter_mut().find(|(name, _)| *name == figure.name) {
            Some((_, row)) => *row = figure.row(),
            None => rows.push((figure.name.clone(), figure.row())),
        }
    }
    let rows: Vec<_> = rows.into_iter().map(|(_, row)| row).collect();
    Some(format!("{before}{START}\n\n{HEAD}{}\n\n{END}{after}", rows.join("\n")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_quantiles() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&[]).is_nan());
        let hundred: Vec<_> = (1..=100).map(f64::from).collect();
        assert_eq!((quantile(&hundred, 500), quantile(&hundred, 990), quantile(&[7.0], 990)), (50.0, 99.0, 7.0));
    }

    #[test]
    fn rows_of_benchmarks_that_were_not_run_stay() {
        let text =
            format!("# Head\n\n{START}\n\n{HEAD}| a | 1 ms | | | old |\n| b | 2 ms | | | old |\n\n{END}\ntail\n");
        let figures = [
            Figure::new("b", 70.0, "ms", Some(Reach::Below(70.0)), vec![70.0]).telling("new"),
            Figure::new("c", 0.755, "ratio", Some(Reach::AtLeast(0.75)), vec![0.755]),
            Figure::failed("d", &anyhow::anyhow!("no | java")),
        ];
        let merged = merge(&text, &figures).unwrap();
        let expected = format!(
            "# Head\n\n{START}\n\n{HEAD}| a | 1 ms | | | old |\n| b | 70.0 ms | below 70.0 | **no** | new |\n\
             | c | 0.76 ratio | at least 0.75 | yes |  |\n| d | - |  |  | failed: no / java |\n\n{END}\ntail\n"
        );
        assert_eq!(merged, expected);
        assert_eq!(merge(&merged, &[]), Some(expected));
    }

    #[test]
    fn what_was_not_measured_is_null_in_json() {
        let json = Figure::failed("d", &anyhow::anyhow!("no java")).json();
        assert_eq!((&json["value"], &json["failures"]), (&Value::Null, &json!(["no java"])));
        let json = Figure::new("c", 3.0, "ratio", Some(Reach::AtMost(0.34)), vec![3.0]).with("k", json!(1)).json();
        assert_eq!((&json["reached"], &json["k"], &json["target"]), (&json!(false), &json!(1), &json!(0.34)));
    }
}
