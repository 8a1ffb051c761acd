//! Mutual TLS, the HTTPS client and server, the directory file and the record folders, on real sockets and files.

mod directory;
mod http;
pub mod message;
mod reception;
mod records;
mod tls;

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use tempfile::TempDir;
use throughcare::clock;
use throughcare::directory::{DirectoryHandle, Fingerprint};
use throughcare::inbox::{Desk, HttpAnswer, Inbox, InboxLimits, Posted};
use throughcare::model::PartyKey;
use throughcare::transport::issue::{Authority, Issued, Purpose, Validity};
use throughcare::transport::{Letter, Route, Tls, TlsFiles, Transport, TransportLimits};
use tokio::sync::oneshot;

/// The ODS codes, party keys and host names of the two ends, in one place.
const PRISON: (&str, &str) = ("HMP01", "HMP01-0001");
const PRACTICE: (&str, &str) = ("B85002", "B85002-0001");

/// A folder of one end: its certificate, key, roots and directory.
struct End {
    folder: TempDir,
}

fn root(name: &str) -> Authority {
    Authority::new(name, Validity::around(clock::now())).expect("a root is made")
}

fn leaf(authority: &Authority, name: &str) -> Issued {
    let validity = Validity::around(clock::now());
    authority
        .issue(name, &["localhost", "127.0.0.1"], Purpose::ServerAndClient, validity)
        .expect("a leaf is made")
}

impl End {
    fn new(identity: &Issued, roots: &[&Authority]) -> Self {
        let end = Self { folder: tempfile::tempdir().expect("a folder") };
        end.identify(identity);
        end.trust(roots);
        end
    }

    fn identify(&self, identity: &Issued) {
        write(&self.path("tls.pem"), &identity.certificate_pem, 0o644);
        write(&self.path("tls.key"), &identity.key_pem, 0o600);
    }

    fn trust(&self, roots: &[&Authority]) {
        let pem: String = roots.iter().map(|r| r.certificate_pem()).collect();
        write(&self.path("roots.pem"), &pem, 0o644);
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn files(&self) -> TlsFiles {
        let crl = self.path("revoked.pem");
        TlsFiles {
            certificate: self.path("tls.pem"),
            key: self.path("tls.key"),
            roots: vec![self.path("roots.pem")],
            crls: if crl.exists() { vec![crl] } else { vec![] },
        }
    }

    fn tls(&self) -> Tls {
        Tls::open(self.files()).expect("the TLS files are in order")
    }

    /// A directory with one peer at `port`, whose entry ends in `more`.
    fn directory(&self, peer: (&str, &str), port: u16, more: &str) -> DirectoryHandle {
        let path = self.path("directory.toml");
        write(&path, &entry(peer, port, more), 0o644);
        DirectoryHandle::open(&path, clock::now()).expect("the directory is in order")
    }

    fn transport(&self, port: u16, more: &str, limits: TransportLimits) -> Transport {
        Transport::new(self.tls(), self.directory(PRACTICE, port, more), limits)
    }
}

fn entry((ods, party_key): (&str, &str), port: u16, more: &str) -> String {
    format!(
        "[[party]]\nods = \"{ods}\"\nname = \"Example\"\nkind = \"practice\"\nparty_key = \"{party_key}\"\n\
         asid = \"200000000002\"\ncpa_id = \"S0001A0002\"\nurl = \"https://127.0.0.1:{port}/messages\"\n\
         profile = \"spine\"\n{more}\n"
    )
}

fn write(path: &Path, text: &str, mode: u32) {
    std::fs::write(path, text).expect("written");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("mode set");
}

/// Answers 200 with the length of what arrived and who sent it, and remembers the certificates it saw.
#[derive(Default)]
struct Echo {
    seen: std::sync::Arc<Mutex<Vec<Option<Fingerprint>>>>,
}

impl Desk for Echo {
    async fn take(&self, posted: Posted) -> HttpAnswer {
        self.seen.lock().unwrap().push(posted.caller.certificate());
        HttpAnswer::xml(200, format!("<took octets=\"{}\"/>", posted.body.len()).into_bytes())
    }
}

/// A server under way; dropping it stops it.
struct Serving {
    address: SocketAddr,
    _stop: oneshot::Sender<()>,
}

impl Serving {
    fn port(&self) -> u16 {
        self.address.port()
    }
}

async fn serve<D: Desk>(tls: Tls, directory: DirectoryHandle, desk: D, limits: InboxLimits) -> Serving {
    let address = SocketAddr::from(([127, 0, 0, 1], 0));
    let paths = vec!["/messages".to_owned()];
    let inbox = Inbox::bind(address, paths, tls, directory, desk, limits).await.expect("a port is free");
    let address = inbox.local_addr().expect("it is bound");
    let (stop, stopped) = oneshot::channel();
    tokio::spawn(inbox.serve(async move { drop(stopped.await) }));
    Serving { address, _stop: stop }
}

fn route(port: u16) -> Route {
    Route {
        party: PartyKey::parse(PRACTICE.1).unwrap(),
        endpoint: format!("https://127.0.0.1:{port}/messages").try_into().unwrap(),
        extra_headers: vec![],
    }
}

fn letter(octets: usize) -> Letter {
    Letter {
        content_type: "text/xml".to_owned(),
        soap_action: "urn:nhs:names:services:gp2gp/MCCI_IN010000UK13".to_owned(),
        body: vec![b'x'; octets].into(),
    }
}

const PATIENCE: Duration = Duration::from_secs(20);
