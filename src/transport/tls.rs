//! Mutual TLS for both directions: our certificate and key, the roots we trust, each party's own roots and pins.
//!
//! Everything is read from files, checked, and swapped whole; connections made under the old configuration drain.
//! Certificates are never fetched and revocation is by list only: nothing here opens a socket.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime};
use rustls::{ClientConfig, ServerConfig};

use crate::directory::{Directory, Fingerprint, Peer, PeerTls};
use crate::model::{PartyKey, Timestamp};

mod material;
mod verify;

use material::Material;
use verify::Trust;
pub use verify::certificate_names;

/// Where our certificate, key and trust are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// Our certificate and its intermediates, PEM, leaf first. Shown as server and as client.
    pub certificate: PathBuf,
    /// Its private key, PEM, closed to group and others.
    pub key: PathBuf,
    /// PEM files of the roots we trust, all at once: an old one and its successor overlap (custody reference §10).
    pub roots: Vec<PathBuf>,
    /// PEM files of revocation lists. Empty: no revocation check. A stale list refuses.
    pub crls: Vec<PathBuf>,
}

/// Why TLS could not be set up from the files.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file could not be read.
    #[error("reading {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file's content is not what it should hold.
    #[error("{} holds no usable {what}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What was looked for.
        what: &'static str,
    },
    /// Others on the machine could read the private key.
    #[error("the private key {0} can be read by others; run: chmod 400 {0}", path.display())]
    KeyExposed {
        /// The key file.
        path: PathBuf,
    },
    /// Certificate and key do not belong together, or are of a kind TLS cannot use.
    #[error("the certificate {} and the key {} do not fit", certificate.display(), key.display())]
    Pair {
        /// The certificate file.
        certificate: PathBuf,
        /// The key file.
        key: PathBuf,
        /// What the TLS library said.
        source: rustls::Error,
    },
    /// A root certificate or the resulting configuration cannot be used.
    #[error("setting up TLS for {whom}: {problem}")]
    Setup {
        /// The party or the inbox.
        whom: String,
        /// What the TLS library said.
        problem: String,
    },
}

/// The certificate at the other end is not one this party may show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotTheirs {
    /// The party's client certificates are pinned, and this is none of them.
    #[error("the client certificate is not one of the party's pins")]
    NotPinned,
    /// It carries none of the party's names.
    #[error("the client certificate carries none of the party's names")]
    OtherName,
    /// It does not come from the party's own roots.
    #[error("the client certificate was not issued under the party's roots")]
    OtherIssuer,
    /// There was no certificate, which the handshake should have prevented.
    #[error("there is no client certificate")]
    None,
}

/// What an operator should know of our certificate.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct TlsStatus {
    /// SHA-256 of our certificate.
    pub certificate: Fingerprint,
    /// The last moment it holds.
    pub valid_until: Timestamp,
    /// How many roots we trust.
    pub roots: usize,
    /// How many revocation lists are in force.
    pub revocation_lists: usize,
    /// Why newer files were not taken: the ones in force are then the last good ones.
    pub problem: Option<String>,
}

/// A configuration with what it was made from and for: made again when either is another.
type MadeFor<K, C> = (Arc<Material>, K, Arc<C>);

/// TLS as it is set up now, shared; clones see the same one.
#[derive(Debug, Clone)]
pub struct Tls(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    files: TlsFiles,
    material: RwLock<Arc<Material>>,
    problem: Mutex<Option<String>>,
    clients: Mutex<HashMap<PartyKey, MadeFor<PeerTls, ClientConfig>>>,
    server: Mutex<Option<MadeFor<Option<Fingerprint>, ServerConfig>>>,
}

impl Tls {
    /// Reads and checks all files.
    pub fn open(files: TlsFiles) -> Result<Self, TlsError> {
        let material = Arc::new(Material::load(&files)?);
        Ok(Self(Arc::new(Shared {
            files,
            material: RwLock::new(material),
            problem: Mutex::new(None),
            clients: Mutex::new(HashMap::new()),
            server: Mutex::new(None),
        })))
    }

    /// Reads all files again; unusable ones leave the last good ones in force. Connections already made go on;
    /// new ones use what was read.
    pub fn reload(&self) -> Result<(), TlsError> {
        let loaded = Material::load(&self.0.files);
        let mut problem = locked(&self.0.problem);
        match loaded {
            Ok(material) => {
                *problem = None;
                *self.0.material.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(material);
                Ok(())
            }
            Err(error) => {
                *problem = Some(error.to_string());
                Err(error)
            }
        }
    }

    /// What to show a party and what to believe from it. Equal facts give the very same configuration, so that
    /// connections made under it can be told by its address.
    pub fn client_config(&self, party: &PartyKey, peer: &PeerTls) -> Result<Arc<ClientConfig>, TlsError> {
        let material = self.material();
        let mut clients = locked(&self.0.clients);
        if let Some((made_from, made_for, config)) = clients.get(party)
            && Arc::ptr_eq(made_from, &material)
            && made_for == peer
        {
            return Ok(config.clone());
        }
        let setup = |problem: String| TlsError::Setup { whom: party.to_string(), problem };
        let config = Arc::new(verify::client_config(&material, peer).map_err(setup)?);
        clients.insert(party.clone(), (material, peer.clone(), config.clone()));
        Ok(config)
    }

    /// What the inbox shows and whom it lets in: certificates under our roots, under any party's own roots, or
    /// pinned for a party. Whom such a certificate may speak for is [`Self::speaks_for`].
    pub fn server_config(&self, directory: &Directory) -> Result<Arc<ServerConfig>, TlsError> {
        let material = self.material();
        let mut server = locked(&self.0.server);
        if let Some((made_from, version, config)) = server.as_ref()
            && Arc::ptr_eq(made_from, &material)
            && *version == directory.version()
        {
            return Ok(config.clone());
        }
        let setup = |problem: String| TlsError::Setup { whom: "the inbox".to_owned(), problem };
        let config = Arc::new(verify::server_config(&material, directory).map_err(setup)?);
        *server = Some((material, directory.version(), config.clone()));
        Ok(config)
    }

    /// Whether the client certificate of a connection may speak for this party: one of its pins, or else one of its
    /// names under its roots (wire reference §1.1; custody reference §10, binding).
    pub fn speaks_for(
        &self,
        chain: &[CertificateDer<'_>],
        peer: &Peer,
        now: Timestamp,
    ) -> Result<(), NotTheirs> {
        let Some((leaf, intermediates)) = chain.split_first() else { return Err(NotTheirs::None) };
        if !peer.tls.client_pins.is_empty() {
            let pinned = peer.tls.client_pins.contains(&Fingerprint::of(leaf));
            return if pinned { Ok(()) } else { Err(NotTheirs::NotPinned) };
        }
        let theirs: HashSet<String> = match (&*peer.tls.client_names, &peer.tls.server_name) {
            ([], Some(name)) => HashSet::from([name.to_ascii_lowercase()]),
            ([], None) => HashSet::from([peer.endpoint("").host().to_owned()]),
            (names, _) => names.iter().map(|n| n.to_ascii_lowercase()).collect(),
        };
        if !certificate_names(leaf).iter().any(|name| theirs.contains(&name.to_ascii_lowercase())) {
            return Err(NotTheirs::OtherName);
        }
        let material = self.material();
        let trust = Trust::of_party(&material, &peer.tls).map_err(|_| NotTheirs::OtherIssuer)?;
        let now = UnixTime::since_unix_epoch(now.since(Timestamp::from_millis(0)));
        trust.client(leaf, intermediates, now).map_err(|_| NotTheirs::OtherIssuer)
    }

    /// For operators.
    pub fn status(&self) -> TlsStatus {
        let material = self.material();
        TlsStatus {
            certificate: material.fingerprint(),
            valid_until: material.valid_until(),
            roots: material.roots.len(),
            revocation_lists: material.crls.len(),
            problem: locked(&self.0.problem).clone(),
        }
    }

    fn material(&self) -> Arc<Material> {
        self.0.material.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
