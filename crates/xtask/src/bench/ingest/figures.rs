//! What the runs come to.

use serde_json::json;

use super::super::report::{Figure, Reach, median};
use super::{PRODUCER, Rounds, Sample, Watched};

const TASUKI: &str = "tasuki";
const PLAIN: &str = "plain";
const OTHERS: [&str; 2] = ["vector", "redpanda-connect"];

/// Ratios of Tasuki's events per CPU-second to somebody else's, round by round.
fn ratios(rounds: &Rounds, to: &str) -> Vec<f64> {
    let (Some(own), Some(other)) = (rounds.get(TASUKI), rounds.get(to)) else { return Vec::new() };
    own.iter().zip(other).map(|(own, other)| own.per_cpu_second / other.per_cpu_second).collect()
}

fn of(rounds: &Rounds, who: &str, what: impl Fn(&Sample) -> f64) -> Vec<f64> {
    rounds.get(who).into_iter().flatten().map(what).collect()
}

/// Who is there beside Tasuki, with the medians of their events per CPU-second.
fn told(rounds: &Rounds) -> String {
    let each = rounds.keys().map(|who| {
        let (cpu, all) = (median(&of(rounds, who, |s| s.per_cpu_second)), median(&of(rounds, who, |s| s.per_second)));
        format!("{who} {cpu:.0} events/CPU s ({all:.0} events/s)")
    });
    each.collect::<Vec<_>>().join(", ")
}

/// The ratio to the best collector of others, or a word on why there is none.
fn best_other(rounds: &Rounds, name: &str, least: f64) -> Result<Figure, String> {
    let speed = |who: &&str| median(&of(rounds, who, |sample| sample.per_cpu_second));
    let there = OTHERS.into_iter().filter(|who| rounds.contains_key(who));
    match there.max_by(|one, other| speed(one).total_cmp(&speed(other))) {
        Some(best) => {
            let samples = ratios(rounds, best);
            let reach = Some(Reach::AtLeast(least));
            Ok(Figure::new(name, median(&samples), "ratio", reach, samples).telling(format!("against {best}")))
        }
        None => Err("Vector and Redpanda Connect left out: no program is named".to_owned()),
    }
}

/// Adds the figure against others, or says in the first row why there is none.
fn with_others(rounds: &Rounds, name: &str, least: f64, mut figures: Vec<Figure>, told: String) -> Vec<Figure> {
    let told = match best_other(rounds, name, least) {
        Ok(figure) => {
            figures.push(figure);
            told
        }
        Err(why) => format!("{told}; {why}"),
    };
    if let Some(first) = figures.first_mut() {
        *first = first.clone().telling(told);
    }
    figures
}

/// `ingest-batch`.
pub(super) fn batch(rounds: &Rounds) -> Vec<Figure> {
    let (producer, plain) = (ratios(rounds, PRODUCER), ratios(rounds, PLAIN));
    let p99 = of(rounds, TASUKI, |sample| sample.p99);
    let bytes = median(&of(rounds, PRODUCER, |sample| sample.record_bytes));
    let figures = vec![
        Figure::new("ingest-batch", median(&producer), "ratio", Some(Reach::AtLeast(0.4)), producer)
            .with("events_per_cpu_second", json!(of(rounds, TASUKI, |sample| sample.per_cpu_second)))
            .with("record_bytes", json!(bytes)),
        Figure::new("ingest-batch: against plain", median(&plain), "ratio", Some(Reach::AtLeast(1.3)), plain),
        Figure::new("ingest-batch: p99", median(&p99), "ms", Some(Reach::Below(30.0)), p99).telling(format!(
            "at saturation, from request to answer; p50 {:.1} ms",
            median(&of(rounds, TASUKI, |sample| sample.p50))
        )),
    ];
    let told = format!("of a bare producer of the same records ({bytes:.0} bytes): {}", told(rounds));
    with_others(rounds, "ingest-batch: against the best of others", 7.0, figures, told)
}

/// `ingest-single`.
pub(super) fn single(rounds: &Rounds) -> Vec<Figure> {
    let plain = ratios(rounds, PLAIN);
    let figures = vec![
        Figure::new("ingest-single", median(&plain), "ratio", Some(Reach::AtLeast(0.9)), plain)
            .with("events_per_cpu_second", json!(of(rounds, TASUKI, |sample| sample.per_cpu_second))),
    ];
    let told = format!("of the plain collector: {}", told(rounds));
    with_others(rounds, "ingest-single: against the best of others", 3.5, figures, told)
}

/// `ingest-latency`.
pub(super) fn latency(rounds: &Rounds, rate: u32) -> Vec<Figure> {
    let (own, p99) = (of(rounds, TASUKI, |sample| sample.p50), of(rounds, TASUKI, |sample| sample.p99));
    let producer = of(rounds, PRODUCER, |sample| sample.p50);
    let over: Vec<_> = own.iter().zip(&producer).map(|(own, producer)| own - producer).collect();
    let told = format!(
        "p50 above the bare producer's own: {:.2} and {:.2} ms; {rate} requests/s of one event",
        median(&own),
        median(&producer)
    );
    vec![
        Figure::new("ingest-latency", median(&over), "ms", Some(Reach::AtMost(1.0)), over).telling(told),
        Figure::new("ingest-latency: p99", median(&p99), "ms", Some(Reach::Below(10.0)), p99)
            .telling(format!("the bare producer's own {:.2} ms", median(&of(rounds, PRODUCER, |sample| sample.p99)))),
    ]
}

/// `ingest-memory`.
pub(super) fn memory(watched: &Watched) -> Vec<Figure> {
    let resident = &watched.resident;
    let quarter = resident.len() / 4;
    let growth = median(&resident[3 * quarter..]) - median(&resident[quarter..2 * quarter]);
    let told = format!("the most ever resident; {} s at {:.0} events/s", resident.len(), watched.per_second);
    vec![
        Figure::new("ingest-memory", watched.peak, "MB", Some(Reach::AtMost(64.0)), resident.clone()).telling(told),
        Figure::new("ingest-memory: growth", growth, "MB", Some(Reach::AtMost(2.0)), vec![growth])
            .telling("median of the last quarter of the time against that of the second"),
    ]
}
