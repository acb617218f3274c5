//! What is wrong at the start is said in one message, with the place and how to mend it, and an exit code of sysexits.

use std::net::TcpListener;
use std::process::{Command, Output};

use tasuki_tests::{Log, Tasuki, up};

fn refused(mut command: Command) -> anyhow::Result<(i32, String)> {
    let Output { status, stdout, stderr } = command.output()?;
    assert!(stdout.is_empty(), "nothing for scripts but a ready line: {}", String::from_utf8_lossy(&stdout));
    Ok((status.code().unwrap_or(-1), String::from_utf8(stderr)?))
}

#[test]
fn a_taken_address() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let address = taken.local_addr()?.to_string();
    let (code, said) = refused(up(folder.path(), &["--ingest-listen", &address]))?;
    assert_eq!(code, 69, "{said}");
    assert!(said.contains(&format!("--ingest-listen: cannot listen on {address}")), "{said}");
    assert!(said.contains("to mend it: stop what uses it, or choose another address"), "{said}");
    Ok(())
}

#[test]
fn several_wrong_settings_are_named_together() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let reps = folder.path().join("reps.toml");
    std::fs::write(&reps, "[pools.inside-sales]\nrepz = []\n")?;
    let reps = reps.to_string_lossy().into_owned();
    let playbook = "/does/not/exist.toml";
    let arguments = ["--reps", &reps, "--playbook", playbook, "--ingest-listen", "nowhere", "--secret", "short"];
    let (code, said) = refused(up(folder.path(), &arguments))?;
    assert_eq!(code, 78, "{said}");
    for fault in ["--ingest-listen: \"nowhere\" is no address", "--playbook: cannot read /does/not/exist.toml", "repz"]
    {
        assert!(said.contains(fault), "{fault} is missing: {said}");
    }
    Ok(())
}

#[test]
fn another_secret_than_the_data_was_made_with() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    Tasuki::start(Log::Embedded, folder.path(), &[])?.stop()?;
    let (code, said) = refused(up(folder.path(), &["--secret", "0123456789abcdef"]))?;
    assert_eq!(code, 78, "{said}");
    assert!(said.contains("made with another secret"), "{said}");
    Tasuki::start(Log::Embedded, folder.path(), &[])?.stop()
}

#[test]
fn an_option_that_does_not_exist() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (code, said) = refused(up(folder.path(), &["--ingest-port", "1"]))?;
    assert_eq!(code, 64, "{said}");
    assert!(said.contains("--ingest-port"), "{said}");
    Ok(())
}

#[test]
fn a_kafka_that_is_not_there() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut command = up(folder.path(), &[]);
    command.env("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1");
    let (code, said) = refused(command)?;
    assert_eq!(code, 69, "{said}");
    assert!(said.contains("127.0.0.1:1") && said.contains("KAFKA_BOOTSTRAP_SERVERS"), "{said}");
    Ok(())
}

#[test]
fn a_postgres_that_is_not_there() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut command = up(folder.path(), &[]);
    command.env("DATABASE_URL", "postgres://nobody:secret-word@127.0.0.1:1/none");
    let (code, said) = refused(command)?;
    assert_eq!(code, 69, "{said}");
    assert!(said.contains("DATABASE_URL") && !said.contains("secret-word"), "{said}");
    Ok(())
}
