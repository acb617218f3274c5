//! What is checked before a release: `cargo deny` for licences, bans and sources, `cargo machete` for unused dependencies.

use crate::run::Step;

pub(crate) fn run() -> anyhow::Result<()> {
    for (tool, package) in [("deny", "cargo-deny"), ("machete", "cargo-machete")] {
        if !installed(tool) {
            Step::cargo("install", &["install", "--locked", package]).run()?;
        }
    }
    Step::cargo("licences, bans, sources", &["deny", "--offline", "check", "bans", "licenses", "sources"]).run()?;
    Step::cargo("unused dependencies", &["machete"]).run()
}

fn installed(tool: &str) -> bool {
    std::process::Command::new("cargo").args([tool, "--version"]).output().is_ok_and(|output| output.status.success())
}
