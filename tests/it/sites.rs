//! Two sites on loopback as real daemons: folders, certificates, settings, and the processes that run on them.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use throughcare::model::Timestamp;
use throughcare::transport::issue::{Authority, Issued, Purpose, Validity};

use crate::tools;

/// As the unit has it.
pub const MEMORY: [(&str, &str); 2] = [("MALLOC_MMAP_THRESHOLD_", "262144"), ("MALLOC_ARENA_MAX", "2")];

const START: Duration = Duration::from_secs(30);

/// One end.
pub struct Site {
    pub folder: PathBuf,
    running: Option<Child>,
}

/// Where the records come from and where they go.
pub struct Pair {
    pub prison: Site,
    pub practice: Site,
}

struct Place {
    ods: &'static str,
    kind: &'static str,
    asid: &'static str,
    port: u16,
}

/// Lays both out. `more` is appended to the prison's settings.
pub fn lay(folder: &Path, more: &str) -> Pair {
    let ports = [TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap()];
    let port = |n: usize| ports[n].local_addr().unwrap().port();
    let prison = Place { ods: "HMP01", kind: "prison", asid: "200000000001", port: port(0) };
    let practice = Place { ods: "B85002", kind: "practice", asid: "200000000002", port: port(1) };
    let validity = Validity::around(now());
    let authority = Authority::new("Test authority", validity).unwrap();
    for (us, them) in [(&prison, &practice), (&practice, &prison)] {
        let own = folder.join(us.ods);
        for part in ["records", "spool/new", "spool/tmp"] {
            fs::create_dir_all(own.join(part)).unwrap();
        }
        let tls = authority.issue(us.ods, &["localhost"], Purpose::ServerAndClient, validity).unwrap();
        let signing = authority.issue(us.ods, &[], Purpose::Signing, validity).unwrap();
        fs::write(own.join("authority.pem"), authority.certificate_pem()).unwrap();
        write_pair(&own, "tls", &tls);
        write_pair(&own, "signing", &signing);
        fs::write(own.join("directory.toml"), directory(us, them)).unwrap();
        let more = if us.ods == "HMP01" { more } else { "" };
        fs::write(own.join("throughcare.toml"), settings(&own, us) + more).unwrap();
    }
    for (us, them) in [("HMP01", "B85002"), ("B85002", "HMP01")] {
        fs::copy(folder.join(them).join("signing.pem"), folder.join(us).join("peer.pem")).unwrap();
    }
    let site = |ods: &str| Site { folder: folder.join(ods), running: None };
    Pair { prison: site("HMP01"), practice: site("B85002") }
}

#[expect(clippy::disallowed_methods, reason = "certificates of a test hold now")]
fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap())
}

fn write_pair(folder: &Path, name: &str, pair: &Issued) {
    fs::write(folder.join(format!("{name}.pem")), &pair.certificate_pem).unwrap();
    let key = folder.join(format!("{name}.key"));
    fs::write(&key, &pair.key_pem).unwrap();
    fs::set_permissions(key, fs::Permissions::from_mode(0o400)).unwrap();
}

fn directory(us: &Place, them: &Place) -> String {
    let head = |p: &Place| {
        let (ods, kind, asid) = (p.ods, p.kind, p.asid);
        format!(
            "[[party]]\nods = \"{ods}\"\nname = \"{ods}\"\nkind = \"{kind}\"\nparty_key = \"{ods}-0001\"\nasid = \"{asid}\"\ncpa_id = \"S{ods}\"\n"
        )
    };
    format!(
        "{}served = true\n\n{}url = \"https://localhost:{}/\"\nprofile = \"signed\"\ndelivery = \"push\"\n\
         [party.contract]\nretries = 3\nretry_interval = \"PT0.2S\"\npersist_duration = \"PT6H\"\nack_requested = \"to-party\"\n\
         [party.signing]\ncertificates = [\"peer.pem\"]\n[party.tls]\nca = [\"authority.pem\"]\nserver_name = \"localhost\"\n",
        head(us),
        head(them),
        them.port
    )
}

fn settings(folder: &Path, us: &Place) -> String {
    let (folder, port) = (folder.display(), us.port);
    format!(
        "[service]\nstate_dir = \"{folder}\"\n\
         [store]\ndir = \"{folder}/store\"\nreserve = \"16MiB\"\n[spool]\ndir = \"{folder}/spool\"\n\
         [records]\ndir = \"{folder}/records\"\n[filing]\ndir = \"{folder}/filed\"\naccept_push = true\n\
         [directory]\nfile = \"{folder}/directory.toml\"\n[inbox]\nlisten = \"127.0.0.1:{port}\"\n\
         [tls]\ncertificate = \"{folder}/tls.pem\"\nkey = \"{folder}/tls.key\"\ntrust = [\"{folder}/authority.pem\"]\n\
         [signing]\ncertificate = \"{folder}/signing.pem\"\nkey = \"{folder}/signing.key\"\n\
         [vault]\nkey = \"{folder}/vault.key\"\n[control]\nsocket = \"{folder}/control.sock\"\n\
         [telemetry]\nlog = \"json\"\n"
    )
}

#[expect(clippy::disallowed_methods, reason = "a test waits in real time")]
pub fn instant() -> Instant {
    Instant::now()
}

impl Site {
    /// Starts the daemon and waits until it answers.
    pub fn start(&mut self) {
        let log =
            fs::OpenOptions::new().create(true).append(true).open(self.folder.join("log.jsonl")).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_throughcare"))
            .args(["run", "--config"])
            .arg(self.folder.join("throughcare.toml"))
            .envs(MEMORY)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.running = Some(child);
        let deadline = instant() + START;
        while self.ask(&["status"]).is_none() {
            let ended = self.running.as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none(), "the daemon ended: {ended:?}; {}", self.log());
            assert!(instant() < deadline, "the daemon does not answer: {}", self.log());
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    /// The power goes: nothing is finished.
    pub fn kill9(&mut self) {
        if let Some(mut child) = self.running.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Asks the daemon; none if it does not answer.
    pub fn ask(&self, command: &[&str]) -> Option<serde_json::Value> {
        let output = Command::new(env!("CARGO_BIN_EXE_throughcare"))
            .args(command)
            .args(["--json", "--socket"])
            .arg(self.folder.join("control.sock"))
            .output()
            .unwrap();
        output.status.success().then(|| serde_json::from_slice(&output.stdout).unwrap())
    }

    /// Memory in use, in KiB.
    pub fn resident_kib(&self) -> u64 {
        self.process_figure("status", "VmRSS:")
    }

    /// Bytes written to the disk so far.
    pub fn written_bytes(&self) -> u64 {
        self.process_figure("io", "write_bytes:")
    }

    /// The process, for what the system says of it.
    pub fn pid(&self) -> u32 {
        self.running.as_ref().unwrap().id()
    }

    fn process_figure(&self, file: &str, name: &str) -> u64 {
        let text = fs::read_to_string(format!("/proc/{}/{file}", self.pid())).unwrap();
        let line = text.lines().find_map(|l| l.strip_prefix(name)).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// What the daemon wrote.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log.jsonl")).unwrap_or_default()
    }

    /// How many records the clinical system can take.
    pub fn filed(&self) -> usize {
        let folder = fs::read_dir(self.folder.join("filed"));
        folder.map_or(0, |entries| {
            entries.filter(|e| !e.as_ref().unwrap().file_name().to_string_lossy().starts_with('.')).count()
        })
    }

    /// How many transfers stand in each state.
    pub fn states(&self) -> std::collections::BTreeMap<String, u64> {
        let Some(status) = self.ask(&["status"]) else { return Default::default() };
        let counts = status["states"].as_array().unwrap();
        counts
            .iter()
            .map(|s| (s["state"].as_str().unwrap().to_owned(), s["count"].as_u64().unwrap()))
            .collect()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.kill9();
        tools::assert_names_nobody(&self.folder.join("log.jsonl"));
    }
}
