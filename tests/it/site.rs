//! Two ordinary daemons on loopback for tests: a prison whose events come through the spool, and a practice.
//!
//! The files are written by hand as README describes them, so that these tests stand where an installation stands.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use throughcare::clock;
use throughcare::model::{EventId, TransferId};
use throughcare::transport::issue::{Authority, Purpose, Validity};

use crate::tools;

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Both sites; their daemons end with the test.
pub struct Sites {
    pub prison: Site,
    pub practice: Site,
    _folder: tempfile::TempDir,
}

/// One site and its daemon, if it runs.
pub struct Site {
    pub folder: PathBuf,
    pub metrics: u16,
    child: Option<Child>,
}

/// Name, kind and last digit of everything that identifies it.
type Place = (&'static str, &'static str, u16, u16);

impl Sites {
    /// Lays out both, and starts nothing.
    pub fn lay(level: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ports: Vec<TcpListener> = (0..4).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let port = |n: usize| ports[n].local_addr().unwrap().port();
        let prison: Place = ("HMP01", "prison", 1, port(0));
        let practice: Place = ("B85002", "practice", 2, port(1));
        let authority = Authority::new("Test authority", Validity::around(clock::now())).unwrap();
        let lay = |us: &Place, them: &Place, metrics: u16| {
            let place = folder.path().join(us.0);
            lay_site(&place, us, them, &authority, level, metrics);
            Site { folder: place, metrics, child: None }
        };
        let prison_site = lay(&prison, &practice, port(2));
        let practice_site = lay(&practice, &prison, port(3));
        for (site, other) in [(&prison_site, &practice_site), (&practice_site, &prison_site)] {
            fs::copy(other.folder.join("signing.pem"), site.folder.join("peer-signing.pem")).unwrap();
        }
        Self { prison: prison_site, practice: practice_site, _folder: folder }
    }

    /// Lays out and starts both.
    pub fn start(level: &str) -> Self {
        let mut sites = Self::lay(level);
        sites.practice.start();
        sites.prison.start();
        sites
    }
}

fn lay_site(place: &Path, us: &Place, them: &Place, authority: &Authority, level: &str, metrics: u16) {
    for part in ["records", "spool/new", "spool/tmp"] {
        fs::create_dir_all(place.join(part)).unwrap();
    }
    let validity = Validity::around(clock::now());
    fs::write(place.join("authority.pem"), authority.certificate_pem()).unwrap();
    for (name, hosts, purpose) in
        [("tls", vec!["localhost"], Purpose::ServerAndClient), ("signing", Vec::new(), Purpose::Signing)]
    {
        let pair = authority.issue(&format!("{} {name}", us.0), &hosts, purpose, validity).unwrap();
        fs::write(place.join(format!("{name}.pem")), &pair.certificate_pem).unwrap();
        let key = place.join(format!("{name}.key"));
        fs::write(&key, pair.key_pem.as_bytes()).unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    }
    let head = |(ods, kind, n, _): &Place| {
        format!(
            "[[party]]\nods = \"{ods}\"\nname = \"Example\"\nkind = \"{kind}\"\nparty_key = \"{ods}-0001\"\n\
             asid = \"20000000000{n}\"\ncpa_id = \"S0001A000{n}\"\n"
        )
    };
    let directory = format!(
        "{}served = true\n\n{}url = \"https://localhost:{}/\"\nprofile = \"signed\"\ndelivery = \"push\"\n\
         [party.contract]\nretries = 2\nretry_interval = \"PT1S\"\npersist_duration = \"PT6H\"\n\
         ack_requested = \"to-party\"\n[party.signing]\ncertificates = [\"peer-signing.pem\"]\n\
         [party.tls]\nca = [\"authority.pem\"]\nserver_name = \"localhost\"\n",
        head(us),
        head(them),
        them.3
    );
    fs::write(place.join("directory.toml"), directory).unwrap();
    let settings = format!(
        "[service]\nstate_dir = \".\"\n[store]\nreserve = \"16 MiB\"\n[filing]\naccept_push = true\n\
         [inbox]\nlisten = \"127.0.0.1:{}\"\n[tls]\ncertificate = \"tls.pem\"\nkey = \"tls.key\"\n\
         trust = [\"authority.pem\"]\n[signing]\ncertificate = \"signing.pem\"\nkey = \"signing.key\"\n\
         [control]\nsocket = \"control.sock\"\n[telemetry]\nlog = \"json\"\nlevel = \"{level}\"\n\
         listen = \"127.0.0.1:{metrics}\"\n",
        us.3
    );
    fs::write(place.join("throughcare.toml"), settings).unwrap();
}

impl Site {
    /// `throughcare` with this site's settings.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_throughcare"));
        command.env_remove("CREDENTIALS_DIRECTORY").args(arguments);
        command.arg("--config").arg(self.folder.join("throughcare.toml"));
        command
    }

    /// Runs a command to its end.
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// What a command answers with `--json`.
    pub fn ask(&self, arguments: &[&str]) -> Value {
        let output = self.run(&[arguments, &["--json"]].concat());
        serde_json::from_slice(&output.stdout).unwrap_or_else(|e| {
            panic!("{arguments:?}: {e}: {}", String::from_utf8_lossy(&output.stderr));
        })
    }

    /// Starts the daemon and waits until it answers.
    pub fn start(&mut self) {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.log()).unwrap();
        let mut command = self.command(&["run"]);
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        self.child = Some(command.spawn().unwrap());
        let log = self.log();
        self.until("the daemon answers", |site| {
            let early = site.child.as_mut().and_then(|c| c.try_wait().unwrap());
            assert!(early.is_none(), "it ended at once: {}", fs::read_to_string(&log).unwrap());
            site.run(&["status"]).status.success()
        });
    }

    /// Asks the daemon to stop and waits until it has.
    pub fn stop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        assert!(child.wait().unwrap().success(), "a stop is no failure");
    }

    /// Everything the daemon logged.
    pub fn log(&self) -> PathBuf {
        self.folder.join("log.jsonl")
    }

    /// Waits until it is so.
    pub fn until(&mut self, what: &str, mut so: impl FnMut(&mut Self) -> bool) {
        let began = clock::instant();
        while !so(self) {
            assert!(began.elapsed() < PATIENCE, "in vain: {what}\n{}", self.where_it_stands());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn where_it_stands(&self) -> String {
        let words = |arguments: &[&str]| String::from_utf8_lossy(&self.run(arguments).stdout).into_owned();
        words(&["list"]) + &words(&["quarantine", "list"])
    }

    /// Drops files into the spool together, as one batch.
    pub fn drop_in(&self, events: &[(&str, Vec<u8>)]) {
        for (name, body) in events {
            fs::write(self.folder.join("spool/tmp").join(name), body).unwrap();
        }
        for (name, _) in events {
            let [from, to] = ["tmp", "new"].map(|part| self.folder.join("spool").join(part).join(name));
            fs::rename(from, to).unwrap();
        }
    }

    /// Writes a record.
    pub fn record(&self, name: &str, text: impl AsRef<[u8]>) {
        fs::write(self.folder.join(format!("records/{name}.json")), text).unwrap();
    }

    /// Writes an attachment of a record.
    pub fn attachment(&self, record: &str, name: &str, text: impl AsRef<[u8]>) {
        let folder = self.folder.join("records").join(record);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(name), text).unwrap();
    }

    /// A transfer's row, once it is there.
    pub fn row(&self, stay: &str) -> Option<Value> {
        let output = self.run(&["list", &transfer(stay).to_string(), "--json"]);
        let list: Value = serde_json::from_slice(&output.stdout).ok()?;
        list["transfers"].as_array()?.first().cloned()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
        tools::assert_names_nobody(&self.log());
    }
}

/// The transfer of a release.
pub fn transfer(stay: &str) -> TransferId {
    TransferId::derived(&["release", "test-clinic", stay])
}

/// The names of the files of a folder.
pub fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut names: Vec<String> =
        entries.map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// A release, its record named as its stay.
pub fn release(stay: &str, number: &str) -> Value {
    let now = clock::now().to_string();
    json!({
        "event_id": EventId::derived(&["event", stay]).to_string(), "source": "test-clinic", "establishment": "HMP01",
        "stay": stay, "patient_ref": format!("person-{stay}"), "seq": 1, "occurred_at": now,
        "nhs_number": number, "number_status": "verified", "sensitive": "no",
        "release": {
            "release_at": now, "certainty": "happened", "kind": "end_of_custody", "destination": "B85002",
            "destination_basis": "pds", "record_ref": stay, "record_as_of": now
        }
    })
}

/// A small record: a patient, a note, and documents by file name and declared type.
pub fn bundle(number: &str, family: &str, born: &str, words: &str, documents: &[(&str, &str)]) -> Value {
    let now = clock::now().to_string();
    let mut resources = vec![
        json!({ "resourceType": "Patient", "id": "p", "birthDate": born,
            "name": [{ "family": family, "given": [family] }],
            "identifier": [{ "system": "https://fhir.nhs.uk/Id/nhs-number", "value": number }] }),
        json!({ "resourceType": "Practitioner", "id": "n", "name": [{ "family": "Example" }] }),
        json!({ "resourceType": "Observation", "id": "o", "status": "final", "issued": now,
            "effectiveDateTime": now[..10], "subject": { "reference": "Patient/p" },
            "performer": [{ "reference": "Practitioner/n" }], "comment": words,
            "code": { "coding": [{ "system": "http://snomed.info/sct", "code": "37331000000100",
                "display": "Comment note" }] } }),
    ];
    for (index, (name, kind)) in documents.iter().enumerate() {
        resources.push(
            json!({ "resourceType": "DocumentReference", "id": format!("d{index}"), "status": "current",
            "subject": { "reference": "Patient/p" }, "type": { "text": "Letter" }, "indexed": now,
            "author": [{ "reference": "Practitioner/n" }],
            "content": [{ "attachment": { "contentType": kind, "title": name, "url": name } }] }),
        );
    }
    let entries: Vec<Value> = resources.into_iter().map(|resource| json!({ "resource": resource })).collect();
    json!({ "resourceType": "Bundle", "id": "b", "type": "collection", "entry": entries })
}
