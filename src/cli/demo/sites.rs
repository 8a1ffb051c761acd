//! The two sites of the demonstration: folders, certificates, settings, and the daemons that run on them.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};

use super::patients::{self, Patient};
use crate::clock;
use crate::control::client::Client;
use crate::control::protocol::{Reply, Request};
use crate::engine::ledger;
use crate::intake::amqp;
use crate::model::Timestamp;
use crate::packet::mime::{MimeLimits, Strictness};
use crate::packet::{self, Packet, Received};
use crate::store::{Keyring, Options, Store, Table, Vault};
use crate::transfer::{Case, Transfer};
use crate::transport::issue::{Authority, Issued, Purpose, Validity};

/// How long a daemon may take to answer, or to end.
const START: Duration = Duration::from_secs(15);

/// Both sites.
pub struct Sites {
    /// Where the patients leave.
    pub prison: Site,
    /// Where they go.
    pub practice: Site,
    amqp: Option<amqp::Settings>,
}

/// One site: a folder with its settings.
pub struct Site {
    /// Its folder.
    pub folder: PathBuf,
    /// Its ODS code.
    pub ods: &'static str,
}

/// A running daemon.
pub struct Running {
    child: Child,
}

struct Place {
    ods: &'static str,
    name: &'static str,
    kind: &'static str,
    party_key: &'static str,
    asid: &'static str,
    cpa_id: &'static str,
    port: u16,
}

/// Lays out both sites in `folder`.
pub fn lay(folder: &Path, amqp: Option<&str>, now: Timestamp) -> anyhow::Result<Sites> {
    let ports = [TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?];
    let port = |n: usize| ports[n].local_addr().map(|a| a.port());
    let prison = Place {
        ods: "HMP01",
        name: "HMP Example",
        kind: "prison",
        party_key: "HMP01-0001",
        asid: "200000000001",
        cpa_id: "S0001A0001",
        port: port(0)?,
    };
    let practice = Place {
        ods: "B85002",
        name: "Example Surgery",
        kind: "practice",
        party_key: "B85002-0001",
        asid: "200000000002",
        cpa_id: "S0001A0002",
        port: port(1)?,
    };
    let authority = Authority::new("Demonstration authority", Validity::around(now))?;
    let queues = format!("throughcare.demo.{}", std::process::id());
    for (us, them) in [(&prison, &practice), (&practice, &prison)] {
        lay_site(&folder.join(us.ods), us, them, &authority, now)?;
    }
    // Each side knows the other's signing certificate: that is the whole of the trust between them.
    for (us, them) in [("HMP01", "B85002"), ("B85002", "HMP01")] {
        fs::copy(folder.join(them).join("signing.pem"), folder.join(us).join("peer-signing.pem"))?;
    }
    let broker = amqp.map(|url| broker(url, &queues)).transpose()?;
    if let Some(url) = amqp {
        let settings = folder.join("HMP01/throughcare.toml");
        let section = format!(
            "\n[amqp]\nurl = \"{url}\"\nqueue = \"{queues}\"\ndead_letter_exchange = \"{queues}.dead\"\n\
             outcome_exchange = \"{queues}.outcomes\"\ndeclare_topology = true\n"
        );
        let text = fs::read_to_string(&settings)? + &section;
        fs::write(&settings, text)?;
    }
    let site = |ods: &'static str| Site { folder: folder.join(ods), ods };
    Ok(Sites { prison: site("HMP01"), practice: site("B85002"), amqp: broker })
}

fn broker(url: &str, queues: &str) -> anyhow::Result<amqp::Settings> {
    let mut settings = amqp::Settings::new(amqp::BrokerUrl::parse(url)?);
    queues.clone_into(&mut settings.queue);
    settings.dead_letters = format!("{queues}.dead");
    settings.outcomes = format!("{queues}.outcomes");
    Ok(settings)
}

fn lay_site(
    folder: &Path,
    us: &Place,
    them: &Place,
    authority: &Authority,
    now: Timestamp,
) -> anyhow::Result<()> {
    for part in ["records", "spool/new", "spool/tmp"] {
        fs::create_dir_all(folder.join(part))?;
    }
    let hosts = ["localhost"];
    let validity = Validity::around(now);
    let tls = authority.issue(&format!("{} TLS", us.ods), &hosts, Purpose::ServerAndClient, validity)?;
    let signing = authority.issue(&format!("{} signing", us.ods), &[], Purpose::Signing, validity)?;
    fs::write(folder.join("authority.pem"), authority.certificate_pem())?;
    write_pair(folder, "tls", &tls)?;
    write_pair(folder, "signing", &signing)?;
    fs::write(folder.join("directory.toml"), directory(us, them))?;
    fs::write(folder.join("throughcare.toml"), settings(folder, us))?;
    Ok(())
}

fn write_pair(folder: &Path, name: &str, pair: &Issued) -> anyhow::Result<()> {
    use std::io::Write;
    fs::write(folder.join(format!("{name}.pem")), &pair.certificate_pem)?;
    let key = folder.join(format!("{name}.key"));
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o400).open(key)?;
    Ok(file.write_all(pair.key_pem.as_bytes())?)
}

fn directory(us: &Place, them: &Place) -> String {
    let head = |place: &Place| {
        format!(
            "[[party]]\nods = \"{}\"\nname = \"{}\"\nkind = \"{}\"\nparty_key = \"{}\"\nasid = \"{}\"\ncpa_id = \"{}\"\n",
            place.ods, place.name, place.kind, place.party_key, place.asid, place.cpa_id
        )
    };
    format!(
        "{}served = true\n\n{}url = \"https://localhost:{}/\"\nprofile = \"signed\"\ndelivery = \"push\"\n\
         [party.contract]\nretries = 2\nretry_interval = \"PT1S\"\npersist_duration = \"PT6H\"\nack_requested = \"to-party\"\n\
         [party.signing]\ncertificates = [\"peer-signing.pem\"]\n[party.tls]\nca = [\"authority.pem\"]\nserver_name = \"localhost\"\n",
        head(us),
        head(them),
        them.port
    )
}

fn settings(folder: &Path, us: &Place) -> String {
    let folder = folder.display();
    format!(
        "[service]\nstate_dir = \"{folder}\"\n\
         [store]\ndir = \"{folder}/store\"\nreserve = \"16MiB\"\n\
         [spool]\ndir = \"{folder}/spool\"\n[records]\ndir = \"{folder}/records\"\n\
         [filing]\ndir = \"{folder}/filed\"\naccept_push = true\ndecided_by = \"auto-file\"\n\
         [directory]\nfile = \"{folder}/directory.toml\"\n[inbox]\nlisten = \"127.0.0.1:{port}\"\n\
         [tls]\ncertificate = \"{folder}/tls.pem\"\nkey = \"{folder}/tls.key\"\ntrust = [\"{folder}/authority.pem\"]\n\
         [signing]\ncertificate = \"{folder}/signing.pem\"\nkey = \"{folder}/signing.key\"\n\
         [vault]\nkey = \"{folder}/vault.key\"\n[control]\nsocket = \"{folder}/control.sock\"\n\
         [telemetry]\nlog = \"json\"\n",
        port = us.port,
    )
}

impl Sites {
    /// Where the events go, for a sentence.
    pub fn queue_name(&self) -> &'static str {
        if self.amqp.is_some() { "RabbitMQ queue" } else { "spool" }
    }

    /// Takes away the queues and exchanges that were declared for this; the daemons must have ended.
    pub fn clear_broker(&self) -> anyhow::Result<()> {
        let Some(settings) = &self.amqp else { return Ok(()) };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(runtime.block_on(amqp::remove_topology(settings))?)
    }

    /// Tells of a release, the way a custody clinical system does.
    pub fn send_release(&self, patient: &Patient, now: Timestamp) -> anyhow::Result<()> {
        self.send_event(patient, &patients::release_event(patient, self.prison.ods, self.practice.ods, now))
    }

    /// Tells of a person who was received and registered.
    pub fn send_registration(&self, patient: &Patient, now: Timestamp) -> anyhow::Result<()> {
        let event = patients::registration_event(patient, self.prison.ods, self.practice.ods, now);
        self.send_event(patient, &event)
    }

    fn send_event(&self, patient: &Patient, event: &serde_json::Value) -> anyhow::Result<()> {
        let body = serde_json::to_vec_pretty(event)?;
        let Some(settings) = &self.amqp else {
            // As with a maildir: written aside, then renamed into place.
            let name = format!("{}.json", patient.record);
            let aside = self.prison.folder.join("spool/tmp").join(&name);
            fs::write(&aside, body)?;
            return Ok(fs::rename(aside, self.prison.folder.join("spool/new").join(name))?);
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(runtime.block_on(amqp::publish_event(settings, "application/json", &body))?)
    }
}

impl Site {
    /// Starts the daemon and waits until it answers.
    pub fn start(&self) -> anyhow::Result<Running> {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.folder.join("log.jsonl"))?;
        let child = Command::new(std::env::current_exe()?)
            .arg("--config")
            .arg(self.folder.join("throughcare.toml"))
            .arg("run")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("the daemon of {} could not be started", self.ods))?;
        let mut running = Running { child };
        let deadline = clock::instant() + START;
        loop {
            if let Some(status) = running.child.try_wait()? {
                bail!(
                    "the daemon of {} ended at once ({status}); see {}/log.jsonl",
                    self.ods,
                    self.folder.display()
                );
            }
            if self.takes_events() {
                return Ok(running);
            }
            if clock::instant() > deadline {
                bail!("the daemon of {} does not answer; see {}/log.jsonl", self.ods, self.folder.display());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Whether the daemon answers, and events can come in.
    fn takes_events(&self) -> bool {
        matches!(self.ask(Request::Status), Ok(Reply::Status(status)) if status.intake.connected)
    }

    /// Asks the daemon.
    pub fn ask(&self, request: Request) -> anyhow::Result<Reply> {
        Ok(Client::connect(&self.folder.join("control.sock"))?.ask(request)?)
    }

    /// Writes a record and its letter, as the custody clinical system does.
    pub fn write_record(&self, patient: &Patient) -> anyhow::Result<()> {
        let records = self.folder.join("records");
        fs::create_dir_all(records.join(&patient.record))?;
        fs::write(records.join(&patient.record).join("letter.txt"), &patient.letter)?;
        for (seed, name) in (1..).zip(&patient.scans) {
            fs::write(records.join(&patient.record).join(name), patients::scan(seed))?;
        }
        Ok(fs::write(
            records.join(format!("{}.json", patient.record)),
            serde_json::to_vec_pretty(&patient.bundle)?,
        )?)
    }

    /// Unseals what was sent, each packet with its envelope and parts beside it. The daemon must have ended.
    pub fn unseal_packets(&self, target: &Path) -> anyhow::Result<Vec<PathBuf>> {
        fs::create_dir_all(target)?;
        let store = Store::open(&self.folder.join("store"), &Options::default())?;
        let vault = Vault::open(&self.folder.join("vault"), Keyring::load(&self.folder.join("vault.key"))?)?;
        let mut written = Vec::new();
        for row in store.scan(Table::Transfer, &[]) {
            let transfer: Transfer = ledger::decode(&row?.1)?;
            let Case::Release(release) = &transfer.case else { continue };
            let Some(delivery) = release.delivery() else { continue };
            let bytes = vault.get(&delivery.dispatch.packet.0.parse()?)?;
            let file = target.join(format!("{}.mime", transfer.id));
            fs::write(&file, &bytes)?;
            unpack(&bytes, &file)?;
            written.push(file);
        }
        written.sort();
        Ok(written)
    }
}

/// The envelope and the decoded parts beside a packet, for `xmlsec1`.
fn unpack(bytes: &[u8], file: &Path) -> anyhow::Result<()> {
    let packet = Packet::from_file(bytes)?;
    let parts =
        packet::mime::read(&packet.content_type, &packet.body, Strictness::Strict, &MimeLimits::default())?;
    for (n, part) in parts.iter().enumerate() {
        fs::write(part_file(file, n), &part.body)?;
    }
    Ok(())
}

fn part_file(packet: &Path, n: usize) -> PathBuf {
    packet.with_extension(if n == 0 { "envelope.xml".to_owned() } else { format!("part{n}") })
}

/// The line that has `xmlsec1` verify a packet, independently of us.
pub fn xmlsec1_line(packet: &Path, certificate: &Path) -> anyhow::Result<String> {
    let read = Packet::from_file(&fs::read(packet)?)?;
    let Received::Business(incoming) =
        packet::open(&read.content_type, &read.body, Strictness::Strict, &MimeLimits::default())?
    else {
        bail!("{} is not a business message", packet.display());
    };
    let mut line =
        format!("xmlsec1 --verify --enabled-key-data key-name --pubkey-cert-pem {}", certificate.display());
    for (n, id) in incoming.part_ids().enumerate() {
        line += &format!(" --url-map:cid:{id} {}", part_file(packet, n + 1).display());
    }
    Ok(format!("{line} {}", part_file(packet, 0).display()))
}

impl Running {
    /// Asks it to stop and waits until it has.
    pub fn stop(mut self) -> anyhow::Result<()> {
        self.terminate()
    }

    fn terminate(&mut self) -> anyhow::Result<()> {
        if let Some(pid) = rustix::process::Pid::from_raw(i32::try_from(self.child.id())?) {
            rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        }
        let deadline = clock::instant() + START;
        while self.child.try_wait()?.is_none() {
            if clock::instant() > deadline {
                bail!("a daemon does not stop");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Drop for Running {
    /// Nothing is left running when the demonstration ends early.
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
