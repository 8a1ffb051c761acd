//! Settings: what they are when nothing is written, how they are read, and whether they make sense.
//!
//! How often a packet is sent again is not set here: a party's contract stands in the directory, the long ladder in
//! `transfer::retry`, because both are rules of GP2GP and not of this machine.
//!
//! One TOML file, read once at the start. Unknown keys are errors with their place. There are deliberately no
//! environment overrides: what the file says is what runs, so that an operator has one place to look.

mod check;
mod private;
mod secret;
mod sections;
mod units;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use check::Problem;
pub use private::open_to_others;
pub use secret::{AmqpUrl, InvalidAmqpUrl};
pub use sections::{
    Amqp, ApplicationAck, Control, DecidedBy, Directory, Filing, Gp2gp, Inbox, Limits, LogFormat, LogLevel,
    Mode, OutcomeForm, Records, Service, Signing, Spool, Store, Telemetry, Tls, Vault,
};
pub use units::{InvalidUnit, Size, Span};

/// Where the settings are when nobody says otherwise.
pub const DEFAULT_PATH: &str = "/etc/throughcare/throughcare.toml";

/// The largest settings file read: the commented default is about 10 KB.
const MAX_FILE: u64 = 1 << 20;

/// Everything that can be set. After [`Config::load`] every path is absolute.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The daemon itself.
    pub service: Service,
    /// The embedded store.
    pub store: Store,
    /// The message queue.
    pub amqp: Amqp,
    /// The spool folder.
    pub spool: Spool,
    /// Where custody records are fetched from.
    pub records: Records,
    /// What happens to an extract that arrives.
    pub filing: Filing,
    /// Which roles of GP2GP the node plays.
    pub gp2gp: Gp2gp,
    /// Who the other parties are.
    pub directory: Directory,
    /// The endpoint practices deliver to.
    pub inbox: Inbox,
    /// Our end of mutual TLS.
    pub tls: Tls,
    /// What signs our packets.
    pub signing: Signing,
    /// What seals packets on disk.
    pub vault: Vault,
    /// How much is done at once.
    pub limits: Limits,
    /// The operators' socket.
    pub control: Control,
    /// Logs, metrics and health.
    pub telemetry: Telemetry,
}

/// Why there are no settings.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("reading the settings {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is larger than any settings are.
    #[error("the settings {path} are larger than 1 MiB: is this the right file?")]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// The text is not settings: an unknown key, a wrong type, a value that cannot be.
    #[error("the settings are wrong at line {line}, column {column}: {message}")]
    Wrong {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
        /// What is wrong there; never the line itself, which may hold a password.
        message: String,
    },
}

impl Config {
    /// Reads the file, and makes every path absolute. Private keys given by a relative path are those systemd
    /// passes in its credentials directory, when it passes one. Does not [`check`](Self::check).
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let credentials = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
        Self::load_with(path, credentials.as_deref())
    }

    /// As [`load`](Self::load), with the credentials directory given.
    pub fn load_with(path: &Path, credentials: Option<&Path>) -> Result<Self, ConfigError> {
        let read_error = |source| ConfigError::Read { path: path.to_owned(), source };
        if std::fs::metadata(path).map_err(read_error)?.len() > MAX_FILE {
            return Err(ConfigError::TooLarge { path: path.to_owned() });
        }
        let text = std::fs::read_to_string(path).map_err(read_error)?;
        let absolute = std::path::absolute(path).map_err(read_error)?;
        let beside = absolute.parent().unwrap_or(Path::new("/"));
        Ok(Self::parse(&text)?.resolved(beside, credentials))
    }

    /// Reads the text. Paths stay as written.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        toml::from_str(text).map_err(|e| {
            let start = e.span().map_or(0, |span| span.start.min(text.len()));
            let before = text.get(..start).unwrap_or("");
            let line = before.matches('\n').count() + 1;
            let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
            ConfigError::Wrong { line, column, message: e.message().to_owned() }
        })
    }

    /// Settings whose paths are absolute: keys and secrets below `credentials` (else `beside`), data below the
    /// state folder, the rest `beside` the settings file.
    pub fn resolved(mut self, beside: &Path, credentials: Option<&Path>) -> Self {
        let secrets = credentials.unwrap_or(beside);
        self.service.state_dir = beside.join(&self.service.state_dir);
        let state = self.service.state_dir.clone();
        for path in [&mut self.store.dir, &mut self.spool.dir, &mut self.records.dir, &mut self.filing.dir] {
            *path = state.join(&*path);
        }
        // Without systemd's credentials the sealing key is made at the first start, so it belongs to the state.
        self.vault.key = credentials.unwrap_or(&state).join(&self.vault.key);
        let keys = [&mut self.tls.key, &mut self.signing.key, &mut self.amqp.url_file, &mut self.amqp.key];
        for path in keys.into_iter().flatten() {
            *path = secrets.join(&*path);
        }
        let public = [
            &mut self.tls.certificate,
            &mut self.signing.certificate,
            &mut self.amqp.certificate,
            &mut self.amqp.trust,
        ];
        for path in public.into_iter().flatten() {
            *path = beside.join(&*path);
        }
        for path in self.tls.trust.iter_mut().chain(&mut self.tls.crl) {
            *path = beside.join(&*path);
        }
        self.directory.file = beside.join(&self.directory.file);
        self.control.socket = state.join(&self.control.socket);
        self
    }

    /// Every way in which the settings do not make sense, in plain words; empty when they do. Looks at the files
    /// they name, but opens none of them.
    pub fn check(&self) -> Vec<Problem> {
        check::all(self)
    }

    /// Whether only NHS numbers of the test range are accepted.
    pub fn test_numbers_only(&self) -> bool {
        self.service.mode == Mode::Test
    }

    /// Whether events come from a broker; otherwise they come from the spool folder.
    pub fn has_broker(&self) -> bool {
        self.amqp.url.is_some() || self.amqp.url_file.is_some()
    }

    /// The broker's URL, from the settings or from the file they name.
    pub fn broker_url(&self) -> Result<Option<AmqpUrl>, ConfigError> {
        let Some(path) = &self.amqp.url_file else { return Ok(self.amqp.url.clone()) };
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.clone(), source })?;
        match AmqpUrl::parse(&text) {
            Ok(url) => Ok(Some(url)),
            Err(e) => Err(ConfigError::Wrong {
                line: 1,
                column: 1,
                message: format!("amqp.url_file {}: {e}", path.display()),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_key_is_refused_with_its_place() {
        let text = "[service]\nmode = \"test\"\n\n[limits]\nin_fligth = 3\n";
        let error = Config::parse(text).unwrap_err().to_string();
        assert!(error.contains("line 5, column 1"), "the place is named: {error}");
        assert!(error.contains("in_fligth"), "the key is named: {error}");
    }

    #[test]
    fn an_error_does_not_repeat_the_line_because_it_may_hold_a_password() {
        let error = Config::parse("[amqp]\nurl = \"amq://u:hunter2@h\"\n").unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
        assert!(error.to_string().contains("line 2"), "{error}");
    }

    #[test]
    fn keys_come_from_credentials_and_data_from_the_state_folder() {
        let text = "[tls]\nkey = \"tls.key\"\ncertificate = \"tls.pem\"\n[signing]\nkey = \"/keys/s.key\"\n";
        let config = Config::parse(text).unwrap();
        let under_systemd = config.clone().resolved(Path::new("/etc/tc"), Some(Path::new("/run/cred")));
        assert_eq!(under_systemd.tls.key.unwrap(), Path::new("/run/cred/tls.key"));
        assert_eq!(under_systemd.tls.certificate.unwrap(), Path::new("/etc/tc/tls.pem"));
        assert_eq!(under_systemd.signing.key.unwrap(), Path::new("/keys/s.key"), "an absolute path stays");
        assert_eq!(under_systemd.vault.key, Path::new("/run/cred/vault.key"));
        let by_hand = config.resolved(Path::new("/etc/tc"), None);
        assert_eq!(by_hand.tls.key.unwrap(), Path::new("/etc/tc/tls.key"));
        assert_eq!(by_hand.vault.key, Path::new("/var/lib/throughcare/vault.key"));
        assert_eq!(by_hand.store.dir, Path::new("/var/lib/throughcare/store"));
    }
}
