//! The direction of dependencies in the workspace: down, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// What each crate may depend on, of ours. Tests and benchmarks may use more.
const ALLOWED: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("wire", &["domain"]),
    ("playbook", &["domain"]),
    ("stream", &["domain", "wire"]),
    ("service", &["domain"]),
    ("import", &["domain"]),
    ("identity", &["domain", "wire", "stream", "playbook"]),
    ("scoring", &["domain", "wire", "stream", "playbook"]),
    ("qualification", &["domain", "wire", "stream", "playbook"]),
    ("handoff", &["domain", "wire", "stream", "playbook"]),
    ("kafka", &["domain", "wire", "stream", "service"]),
    ("embedded", &["domain", "wire", "stream", "service"]),
    ("ingest", &["domain", "wire", "stream", "service"]),
    ("projection", &["domain", "wire", "stream", "service"]),
    ("console", &["domain", "wire", "stream", "service", "playbook"]),
];

/// What the pure crates must not see, however deep.
const IMPURE: [&str; 6] = ["rdkafka", "sqlx", "tokio", "axum", "metrics", "rand"];
const PURE: [&str; 9] =
    ["domain", "wire", "playbook", "stream", "import", "identity", "scoring", "qualification", "handoff"];

#[test]
fn dependencies_point_down() {
    let metadata = metadata();
    let allowed: BTreeMap<_, BTreeSet<_>> =
        ALLOWED.iter().map(|(name, on)| (*name, on.iter().copied().collect())).collect();
    let mut seen = 0;
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let name = package["name"].as_str().unwrap_or_default();
        let Some(allowed) = name.strip_prefix("tasuki-").and_then(|name| allowed.get(name)) else { continue };
        seen += 1;
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let on = dependency["name"].as_str().unwrap_or_default();
            let Some(ours) = on.strip_prefix("tasuki-") else { continue };
            assert!(!dependency["kind"].is_null() || allowed.contains(ours), "{name} must not depend on {on}");
        }
    }
    assert_eq!(seen, ALLOWED.len(), "every crate in the list exists");
}

#[test]
fn pure_crates_see_no_io() {
    for name in PURE {
        let tree = cargo(&[
            "tree",
            "--locked",
            "--package",
            &format!("tasuki-{name}"),
            "--edges",
            "normal",
            "--prefix",
            "none",
        ]);
        assert!(tree.contains(&format!("tasuki-{name} ")), "{tree}");
        for impure in IMPURE {
            assert!(!tree.lines().any(|line| line.starts_with(&format!("{impure} "))), "tasuki-{name} sees {impure}");
        }
    }
}

fn metadata() -> Value {
    serde_json::from_str(&cargo(&["metadata", "--locked", "--no-deps", "--format-version", "1"])).expect("JSON")
}

fn cargo(words: &[&str]) -> String {
    let output = Command::new("cargo").args(words).current_dir(tasuki_tests::top()).output().expect("cargo is here");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}
