//! What `/metrics` says of each metric (HELP). Processors only count and know nothing of metrics: their counters are
//! described here, by the names that the runners give them. The logs describe themselves when they are opened.

use metrics::describe_counter;

/// A counter as its crate tells of it: the middle of its name, and the text.
type Counter = (&'static str, &'static str);

/// What the processors count, by service.
const COUNTERS: [(&str, &[Counter]); 5] = [
    ("identity", tasuki_identity::metrics::COUNTERS),
    ("scoring", tasuki_scoring::metrics::COUNTERS),
    ("qualification", tasuki_qualification::metrics::COUNTERS),
    ("handoff", tasuki_handoff::metrics::COUNTERS),
    ("desk", tasuki_handoff::metrics::desk::COUNTERS),
];

/// Describes the metrics of all services. To be called once, after the recorder is installed: only metrics that have a
/// value are shown, so a process that runs some of the services tells nothing of the others.
pub(crate) fn all() {
    tasuki_ingest::metrics::describe();
    tasuki_projection::metrics::describe();
    tasuki_console::metrics::describe();
    for (service, counters) in COUNTERS {
        for (what, help) in counters {
            describe_counter!(name(service, what), help.trim());
        }
    }
}

/// As the runners name it.
fn name(service: &str, what: &str) -> String {
    format!("tasuki_{service}_{}_total", what.replace('-', "_"))
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::path::{Path, PathBuf};
    use std::sync::Mutex;

    use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};

    use super::*;

    /// Notes what is described.
    #[derive(Debug, Default)]
    struct Described(Mutex<BTreeMap<String, String>>);

    impl Described {
        fn note(&self, key: &KeyName, help: &str) {
            let before = self.0.lock().unwrap().insert(key.as_str().to_owned(), help.to_owned());
            assert_eq!(before, None, "{key:?} is described twice");
        }
    }

    impl Recorder for Described {
        fn describe_counter(&self, key: KeyName, _: Option<Unit>, help: SharedString) {
            self.note(&key, &help);
        }
        fn describe_gauge(&self, key: KeyName, _: Option<Unit>, help: SharedString) {
            self.note(&key, &help);
        }
        fn describe_histogram(&self, key: KeyName, _: Option<Unit>, help: SharedString) {
            self.note(&key, &help);
        }
        fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
            Counter::noop()
        }
        fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
            Gauge::noop()
        }
        fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
            Histogram::noop()
        }
    }

    fn described() -> BTreeMap<String, String> {
        let recorder = Described::default();
        metrics::with_local_recorder(&recorder, all);
        recorder.0.into_inner().unwrap()
    }

    /// Everything between `before` and the next `after` in the sources of a crate.
    fn found(folder: &Path, before: &str, after: char, found_here: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                found(&path, before, after, found_here);
            } else {
                let text = std::fs::read_to_string(&path).unwrap();
                let hits = text.split(before).skip(1).filter_map(|rest| rest.split_once(after));
                found_here.extend(hits.map(|(hit, _)| hit.to_owned()));
            }
        }
    }

    fn sources(of: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(of).join("src")
    }

    #[test]
    fn every_counter_of_a_processor_is_described_by_the_name_that_runners_give_it() {
        let expected = [
            "tasuki_desk_decisions_total",
            "tasuki_handoff_assignments_total",
            "tasuki_handoff_corrections_total",
            "tasuki_handoff_feedback_total",
            "tasuki_handoff_inputs_total",
            "tasuki_handoff_overdue_total",
            "tasuki_handoff_verdicts_total",
            "tasuki_identity_behavior_events_total",
            "tasuki_identity_claims_total",
            "tasuki_identity_events_withheld_total",
            "tasuki_identity_identifiers_refused_total",
            "tasuki_identity_links_refused_total",
            "tasuki_identity_merges_total",
            "tasuki_identity_values_total",
            "tasuki_qualification_leads_held_back_total",
            "tasuki_qualification_overtaking_scores_total",
            "tasuki_qualification_rejections_without_effect_total",
            "tasuki_qualification_repeated_records_total",
            "tasuki_qualification_version_gaps_total",
            "tasuki_scoring_dropped_signals_total",
            "tasuki_scoring_playbooks_total",
            "tasuki_scoring_records_without_effect_total",
            "tasuki_scoring_repeated_records_total",
            "tasuki_scoring_rescored_leads_total",
            "tasuki_scoring_uncounted_leads_total",
            "tasuki_scoring_version_gaps_total",
        ];
        let described = described();
        let of_processors: Vec<_> = described
            .iter()
            .filter(|(name, _)| COUNTERS.iter().any(|(service, _)| name.starts_with(&format!("tasuki_{service}_"))))
            .collect();
        assert_eq!(of_processors.iter().map(|(name, _)| *name).collect::<Vec<_>>(), expected);
        for (name, help) in of_processors {
            assert!(help.len() > 20 && help == help.trim() && help.ends_with('.'), "{name}: {help:?}");
        }
    }

    #[test]
    fn processors_count_nothing_that_is_not_declared() {
        for of in ["identity", "scoring", "qualification", "handoff"] {
            let mut undeclared = BTreeSet::new();
            found(&sources(of), ".count(\"", '"', &mut undeclared);
            found(&sources(of), ".count((\"", '"', &mut undeclared);
            assert_eq!(undeclared, BTreeSet::new(), "in {of}: declare it with `counters!`");
        }
    }

    #[test]
    fn every_metric_of_projection_and_console_is_described() {
        let described = described();
        for of in ["projection", "console"] {
            let mut named = BTreeSet::new();
            found(&sources(of), &format!("\"tasuki_{of}_"), '"', &mut named);
            assert!(named.len() >= 5, "invalid: only {named:?} in {of}");
            for rest in named {
                let name = format!("tasuki_{of}_{rest}");
                assert!(described.contains_key(&name), "{name}");
            }
        }
    }
}
