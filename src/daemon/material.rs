//! What the settings name and a daemon only reads: directory, certificates, trust, keys, the broker's URL. `run` opens
//! it through here and so does `check`, so that one finds what the other would.
//!
//! Makes no folder, opens no store and no port.

use std::path::{Path, PathBuf};

use crate::clock;
use crate::config::{Config, Problem, open_to_others};
use crate::directory::{DirectoryError, DirectoryHandle};
use crate::intake::amqp;
use crate::packet::signature::InvalidKey;
use crate::perform::{SignerHandle, SigningError, SigningFiles};
use crate::store::{Keyring, KeyringError};
use crate::transport::{Tls, TlsError, TlsFiles};

/// Keys, certificates, directory and broker, read and fit for use.
pub struct Material {
    /// Who is who.
    pub directory: DirectoryHandle,
    /// Our certificate and the roots we trust.
    pub tls: Tls,
    /// Our signature.
    pub signer: SignerHandle,
    /// What seals packets; none where it is still to be made.
    pub keys: Option<Keyring>,
    /// The broker, where one is configured.
    pub broker: Option<amqp::Settings>,
}

/// Whose the vault key is to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MissingVaultKey {
    /// The daemon makes it now.
    Made,
    /// The daemon would make it at its first start.
    MadeLater,
    /// It is passed to the daemon, so it must be there.
    Wrong,
}

impl Material {
    /// Reads it all. Every problem is named, the settings' own first; of one part only the first, because the others
    /// may follow from it.
    pub fn open(config: &Config, missing: MissingVaultKey) -> Result<Self, Vec<Problem>> {
        let mut problems = config.check();
        let directory = keep(directory(config), &mut problems);
        let broker = keep(broker(config), &mut problems);
        let tls = match tls_files(config) {
            Some(files) => keep(tls(config, files, directory.as_ref()), &mut problems),
            None => None,
        };
        let signer = keep(signer(config), &mut problems);
        let missing = match missing {
            // Nothing is made by a start that fails.
            MissingVaultKey::Made if !problems.is_empty() => MissingVaultKey::MadeLater,
            MissingVaultKey::Made | MissingVaultKey::MadeLater | MissingVaultKey::Wrong => missing,
        };
        let keys = keep(vault_key(config, missing), &mut problems);
        match (directory, broker, tls, signer, keys) {
            (Some(directory), Some(broker), Some(tls), Some(signer), Some(keys)) if problems.is_empty() => {
                Ok(Self { directory, tls, signer, keys, broker })
            }
            (..) => Err(problems),
        }
    }
}

fn keep<T>(result: Result<T, Problem>, problems: &mut Vec<Problem>) -> Option<T> {
    result.map_err(|problem| problems.push(problem)).ok()
}

fn problem(key: &str, wrong: impl Into<String>, remedy: impl Into<String>) -> Problem {
    Problem { key: key.to_owned(), wrong: wrong.into(), remedy: remedy.into() }
}

fn directory(config: &Config) -> Result<DirectoryHandle, Problem> {
    let file = config.directory.file.display();
    let opened = DirectoryHandle::open(&config.directory.file, clock::now()).map_err(|error| {
        let remedy = match &error {
            DirectoryError::Read { source, .. } => readable(source, &config.directory.file),
            DirectoryError::Syntax(_) | DirectoryError::Entry { .. } | DirectoryError::TooLarge { .. } => {
                format!("Correct {file}")
            }
        };
        problem("directory.file", chain(&error), remedy)
    })?;
    if opened.current().served().next().is_none() {
        let wrong = format!(
            "{file} has no entry with `served = true`, so every event would be refused and nothing could be signed for"
        );
        return Err(problem("directory.file", wrong, "Add the entry that says who you are"));
    }
    Ok(opened)
}

fn tls_files(config: &Config) -> Option<TlsFiles> {
    let (certificate, key) = (config.tls.certificate.clone()?, config.tls.key.clone()?);
    Some(TlsFiles { certificate, key, roots: config.tls.trust.clone(), crls: config.tls.crl.clone() })
}

/// Our end of TLS. With the directory at hand, roots and lists are also made into what the inbox would use.
fn tls(config: &Config, files: TlsFiles, directory: Option<&DirectoryHandle>) -> Result<Tls, Problem> {
    let said = |error: TlsError| tls_problem(&error, "tls", |path| tls_key(config, path));
    let tls = Tls::open(files).map_err(said)?;
    if let Some(directory) = directory {
        tls.server_config(&directory.current()).map_err(said)?;
    }
    Ok(tls)
}

fn tls_key(config: &Config, path: &Path) -> &'static str {
    let is = |set: &Option<PathBuf>| set.as_deref() == Some(path);
    match path {
        _ if is(&config.tls.key) => "key",
        _ if is(&config.tls.certificate) => "certificate",
        path if config.tls.crl.iter().any(|crl| crl == path) => "crl",
        _ => "trust",
    }
}

fn tls_problem(error: &TlsError, section: &str, key_of: impl Fn(&Path) -> &'static str) -> Problem {
    let at = |key: &str, remedy: String| problem(&format!("{section}.{key}"), chain(error), remedy);
    match error {
        TlsError::Read { path, source } => at(key_of(path), readable(source, path)),
        TlsError::Content { path, what } => {
            at(key_of(path), format!("Put the {what} into {}", path.display()))
        }
        TlsError::KeyExposed { path } => {
            let wrong = format!("group or others may use {}", path.display());
            problem(&format!("{section}.key"), wrong, close(path))
        }
        TlsError::Pair { certificate, key, .. } => {
            let remedy = format!(
                "Give {} the certificate that was issued for the key {}",
                certificate.display(),
                key.display()
            );
            at("certificate", remedy)
        }
        TlsError::Setup { .. } => at("trust", "Replace the root or the revocation list it names".to_owned()),
    }
}

fn signer(config: &Config) -> Result<SignerHandle, Problem> {
    let (Some(certificate), Some(key)) = (&config.signing.certificate, &config.signing.key) else {
        // Only parties of the profile `spine` can then be sent anything.
        return Ok(SignerHandle::default());
    };
    let files = SigningFiles { certificate: certificate.clone(), key: key.clone() };
    SignerHandle::open(files).map_err(|error| match &error {
        SigningError::File { file, source } => {
            let name = if file == key { "signing.key" } else { "signing.certificate" };
            problem(name, chain(&error), readable(source, file))
        }
        SigningError::Exposed(file) => {
            problem("signing.key", format!("group or others may use {}", file.display()), close(file))
        }
        SigningError::Key { source: InvalidKey::Mismatch | InvalidKey::Certificate, .. } => {
            let remedy = format!("Put the certificate issued for this key into {}", certificate.display());
            problem("signing.certificate", chain(&error), remedy)
        }
        SigningError::Key { source: InvalidKey::Pem(_) | InvalidKey::Kind | InvalidKey::Refused, .. } => {
            let remedy = "Make one: openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256";
            problem("signing.key", chain(&error), remedy)
        }
    })
}

fn vault_key(config: &Config, missing: MissingVaultKey) -> Result<Option<Keyring>, Problem> {
    let file = &config.vault.key;
    let loaded = match (file.exists(), missing) {
        (false, MissingVaultKey::MadeLater) => return Ok(None),
        (false, MissingVaultKey::Made) => Keyring::load_or_create(file),
        (true, _) | (false, MissingVaultKey::Wrong) => Keyring::load(file),
    };
    loaded.map(Some).map_err(|error| match &error {
        KeyringError::File { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
            let remedy = format!("Make one: (umask 077; openssl rand -hex 32 > {})", file.display());
            problem("vault.key", chain(&error), remedy)
        }
        KeyringError::File { source, .. } => problem("vault.key", chain(&error), readable(source, file)),
        KeyringError::Exposed(_) => {
            problem("vault.key", format!("group or others may use {}", file.display()), close(file))
        }
        KeyringError::Malformed { .. } | KeyringError::Count(_) => {
            problem("vault.key", chain(&error), "Put back the key that sealed what is in the vault")
        }
    })
}

/// The broker, where one is configured.
fn broker(config: &Config) -> Result<Option<amqp::Settings>, Problem> {
    let (key, remedy) = match &config.amqp.url_file {
        Some(file) => {
            secret(file, "amqp.url_file")?;
            ("amqp.url_file", format!("Write amqp://USER:PASSWORD@HOST:5672/%2f into {}", file.display()))
        }
        None => ("amqp.url", "Write it like amqp://USER:PASSWORD@HOST:5672/%2f".to_owned()),
    };
    let wrong = |error: &dyn std::error::Error| problem(key, chain(error), remedy.clone());
    let Some(url) = config.broker_url().map_err(|e| wrong(&e))? else { return Ok(None) };
    let mut settings = amqp::Settings::new(amqp::BrokerUrl::parse(url.reveal()).map_err(|e| wrong(&e))?);
    settings.queue.clone_from(&config.amqp.queue);
    settings.dead_letters.clone_from(&config.amqp.dead_letter_exchange);
    settings.outcomes.clone_from(&config.amqp.outcome_exchange);
    settings.encoding = super::encoding(config.amqp.outcomes_as);
    settings.prefetch = config.amqp.prefetch;
    if config.amqp.declare_topology {
        settings.topology = amqp::Topology::Declare;
    }
    settings.tls = broker_tls(config)?;
    Ok(Some(settings))
}

/// The broker's certificates. That certificate and key fit is judged as for our own TLS.
fn broker_tls(config: &Config) -> Result<amqp::BrokerTls, Problem> {
    let read = |file: &PathBuf, key: &str| {
        let failed = |e| problem(key, format!("cannot read {}: {e}", file.display()), readable(&e, file));
        std::fs::read_to_string(file).map_err(failed)
    };
    let amqp = &config.amqp;
    let roots = amqp.trust.as_ref().map(|file| read(file, "amqp.trust")).transpose()?;
    let (Some(certificate), Some(key)) = (&amqp.certificate, &amqp.key) else {
        return Ok(amqp::BrokerTls { roots, identity: None });
    };
    let files = TlsFiles {
        certificate: certificate.clone(),
        key: key.clone(),
        roots: amqp.trust.iter().cloned().collect(),
        crls: Vec::new(),
    };
    Tls::open(files).map_err(|error| {
        tls_problem(&error, "amqp", |path| match path {
            path if path == key => "key",
            path if path == certificate => "certificate",
            _ => "trust",
        })
    })?;
    let identity = (read(certificate, "amqp.certificate")?, read(key, "amqp.key")?);
    Ok(amqp::BrokerTls { roots, identity: Some(identity) })
}

/// A secret that is no key: there, and closed to others.
fn secret(file: &Path, key: &str) -> Result<(), Problem> {
    match open_to_others(file) {
        Ok(false) => Ok(()),
        Ok(true) => Err(problem(key, format!("group or others may use {}", file.display()), close(file))),
        Err(e) => Err(problem(key, format!("cannot read {}: {e}", file.display()), readable(&e, file))),
    }
}

fn close(file: &Path) -> String {
    format!("Run: chmod 400 {}", file.display())
}

fn readable(error: &std::io::Error, file: &Path) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => {
            "Put the file there or correct the path; for keys that systemd passes, give --credentials FOLDER"
                .to_owned()
        }
        std::io::ErrorKind::PermissionDenied => {
            format!("Check as root, or let the daemon's user read {}", file.display())
        }
        _ => format!("Look at {}", file.display()),
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |e| e.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
