//! The one secret of an installation, and the keys that follow from it.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tasuki_domain::DeploymentSecret;
use tasuki_service::{Exit, Failure};

/// The secret of this installation: lead ids, the first write key and the API token are computed from it, so that nothing
/// else has to be kept safe, and a second start finds the same.
pub(crate) struct Secret(Vec<u8>);

impl Secret {
    /// The secret given (as `TASUKI_SECRET`), else the one in the data folder; made at the first start where one process
    /// is the whole installation (`may_make`): services apart from one another must be given the same.
    pub(crate) fn load(given: Option<&str>, data_dir: &Path, may_make: bool) -> Result<Self, Failure> {
        if let Some(text) = given {
            return Self::checked(text.as_bytes().to_vec(), "TASUKI_SECRET");
        }
        let path = data_dir.join("secret");
        match std::fs::read(&path) {
            Ok(bytes) => Self::checked(bytes.trim_ascii().to_vec(), &path.display().to_string()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && may_make => Self::make(&path),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(Failure::new(
                Exit::Config,
                format!("TASUKI_SECRET is not set, and there is no {}", path.display()),
                "give every service of this installation the same secret of at least 16 bytes",
            )),
            Err(error) => Err(Failure::new(
                Exit::NoPermission,
                format!("cannot read {}: {error}", path.display()),
                "let this user read it, or give the secret as TASUKI_SECRET",
            )),
        }
    }

    /// Tells whether data belongs to this secret, without telling the secret.
    pub(crate) fn fingerprint(&self) -> String {
        self.derived("fingerprint")[..16].to_owned()
    }

    /// For computing lead ids.
    pub(crate) fn for_leads(&self) -> DeploymentSecret {
        DeploymentSecret::new(self.derived("lead ids").as_bytes()).expect("64 hexadecimal digits are long enough")
    }

    /// The write key of the source `website`. Public, as write keys are.
    pub(crate) fn write_key(&self) -> String {
        format!("wk_{}", &self.derived("write key of website")[..24])
    }

    /// The bearer token of the console's API.
    pub(crate) fn api_token(&self) -> String {
        format!("tt_{}", &self.derived("api token")[..40])
    }

    fn make(path: &Path) -> Result<Self, Failure> {
        let mut random = [0; 32];
        getrandom::fill(&mut random).map_err(|error| {
            Failure::new(Exit::OsError, format!("the system gives no random bytes: {error}"), "give TASUKI_SECRET")
        })?;
        let text = hex(&random);
        std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
            .map_err(|error| {
                Failure::new(
                    Exit::CannotCreate,
                    format!("cannot write {}: {error}", path.display()),
                    "give a --data-dir that can be written to, or the secret as TASUKI_SECRET",
                )
            })?;
        Ok(Self(text.into_bytes()))
    }

    fn checked(bytes: Vec<u8>, place: &str) -> Result<Self, Failure> {
        match DeploymentSecret::new(bytes.clone()) {
            Ok(_) => Ok(Self(bytes)),
            Err(error) => Err(Failure::new(
                Exit::Config,
                format!("{place}: {error}"),
                "give the secret this installation was started with first; with another one all lead ids change",
            )),
        }
    }

    fn derived(&self, purpose: &str) -> String {
        let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(&self.0).expect("HMAC takes a key of any length");
        mac.update(purpose.as_bytes());
        hex(&mac.finalize().into_bytes())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_start_finds_the_same_secret_readable_by_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let first = Secret::load(None, folder.path(), true).unwrap();
        let second = Secret::load(None, folder.path(), false).unwrap();
        assert_eq!((first.write_key(), first.api_token()), (second.write_key(), second.api_token()));
        let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(folder.path().join("secret")).unwrap());
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn services_apart_from_one_another_do_not_make_secrets_of_their_own() {
        let folder = tempfile::tempdir().unwrap();
        let failure = Secret::load(None, folder.path(), false).map(|_| ()).unwrap_err();
        assert_eq!(failure.exit, Exit::Config);
        assert!(failure.what.starts_with("TASUKI_SECRET is not set"), "{failure}");
    }

    #[test]
    fn keys_differ_by_purpose_and_by_installation() {
        let (a, b) = (Secret(vec![1; 32]), Secret(vec![2; 32]));
        assert_ne!(a.write_key()[3..], a.api_token()[3..27]);
        assert_ne!(a.write_key(), b.write_key());
    }

    #[test]
    fn a_secret_that_is_too_short_is_refused_with_its_place() {
        let error = Secret::load(Some("short"), Path::new("/nowhere"), true).map(|_| ()).unwrap_err();
        assert!(error.to_string().starts_with("TASUKI_SECRET: the deployment secret has 5 bytes"), "{error}");
    }
}
