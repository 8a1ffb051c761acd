//! A real RabbitMQ of our own: its own ports, folder, name and port mapper, gone when the test is gone.
//!
//! Debian's wrappers change user and strip the environment, so the launchers beneath them are used. `NOTIFY_SOCKET` makes
//! the launcher become the broker itself, so that its process id is known and `kill -9` hits it. A small shell holds
//! the other end of a pipe: when the test process dies, however it dies, the shell ends the broker.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::thread::sleep;
use std::time::Duration;

use tempfile::TempDir;

const SERVER: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";

/// A cold start takes 4 s; three at once on two cores take 6 s; a machine under load gets ten times that.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often a starting broker is asked.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// One broker for all tests of this process that do not kill it, each with names of its own.
/// `None`, with a word, where RabbitMQ is not installed and need not be.
pub fn shared() -> Option<&'static Broker> {
    static SHARED: OnceLock<Option<Broker>> = OnceLock::new();
    SHARED.get_or_init(Broker::start).as_ref()
}

/// A broker.
pub struct Broker {
    folder: TempDir,
    port: u16,
    ports: (u16, u16),
    mapper: Child,
    server: Option<Server>,
    _slot: File,
}

/// The broker's process, and the shell that ends it should we die.
struct Server {
    process: Child,
    watcher: Child,
    /// A broker that stops says so here, and takes it ill when nobody listens.
    notify: UnixDatagram,
}

impl Broker {
    /// Starts a broker and waits until it takes connections.
    pub fn start() -> Option<Self> {
        if !Path::new(SERVER).exists() {
            let required =
                std::env::var_os("CI").is_some() || std::env::var_os("THROUGHCARE_REQUIRE_TOOLS").is_some();
            assert!(!required, "RabbitMQ is not installed, and the tools are required");
            println!("skipped: RabbitMQ is not installed");
            return None;
        }
        let slot = slot();
        let folder = tempfile::Builder::new().prefix("throughcare-rabbit-").tempdir().unwrap();
        let [port, dist, mapping] = free_ports();
        lay(folder.path(), port);
        let mapper = Command::new("epmd")
            .args(["-port", &mapping.to_string(), "-address", "127.0.0.1"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("epmd comes with RabbitMQ");
        let mut broker = Self { folder, port, ports: (dist, mapping), mapper, server: None, _slot: slot };
        broker.restart();
        Some(broker)
    }

    /// `amqp://…` with the default user, who may come from this machine only.
    pub fn url(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}/%2f", self.port)
    }

    /// Crashes it.
    pub fn kill9(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.process.kill().unwrap();
            server.process.wait().unwrap();
            server.release();
        }
    }

    /// Asks it to stop, and waits.
    pub fn stop(&mut self) {
        if let Some(mut server) = self.server.take() {
            let pid = server.process.id().to_string();
            Command::new("kill").args(["-TERM", &pid]).status().unwrap();
            server.process.wait().unwrap();
            server.release();
        }
    }

    /// Starts it again with what it has on disk. It must be down.
    pub fn restart(&mut self) {
        assert!(self.server.is_none(), "the broker is still up");
        let notify = self.folder.path().join("notify");
        let _absent = fs::remove_file(&notify);
        let socket = UnixDatagram::bind(&notify).unwrap();
        socket.set_read_timeout(Some(LOOK_EVERY)).unwrap();
        let out = File::create(self.folder.path().join("out")).unwrap();
        let process = Command::new(SERVER)
            .envs(self.environment())
            .env("NOTIFY_SOCKET", &notify)
            .stdin(Stdio::null())
            .stdout(out.try_clone().unwrap())
            .stderr(out)
            .spawn()
            .unwrap();
        let watcher = watcher(process.id(), self.mapper.id(), self.folder.path());
        let server = self.server.insert(Server { process, watcher, notify: socket });
        let notify = server.notify.try_clone().unwrap();
        let mut said = [0; 256];
        for _ in 0..PATIENCE.as_millis() / LOOK_EVERY.as_millis() {
            let ready = notify.recv(&mut said).is_ok_and(|n| said[..n].windows(7).any(|w| w == b"READY=1"));
            if ready || self.answers() {
                return;
            }
        }
        panic!("RabbitMQ did not start\n{}", self.said());
    }

    /// Whether it speaks AMQP, which is what tests wait for.
    fn answers(&self) -> bool {
        let hello = |mut stream: TcpStream| -> std::io::Result<bool> {
            stream.set_read_timeout(Some(Duration::from_secs(1)))?;
            stream.write_all(b"AMQP\0\0\x09\x01")?;
            let mut first = [0];
            stream.read_exact(&mut first)?;
            Ok(first == [1])
        };
        TcpStream::connect(("127.0.0.1", self.port)).and_then(hello).unwrap_or(false)
    }

    /// A connection and a channel for a test's own use.
    pub async fn connect(&self) -> (lapin::Connection, lapin::Channel) {
        let connection =
            lapin::Connection::connect(&self.url(), lapin::ConnectionProperties::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        (connection, channel)
    }

    /// The names of all queues and exchanges there are.
    pub fn topology(&self) -> String {
        let list = |what: &str| {
            let output = Command::new(SERVER.replace("rabbitmq-server", "rabbitmqctl"))
                .envs(self.environment())
                .args(["-q", what, "name"])
                .output()
                .unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8_lossy(&output.stdout).into_owned()
        };
        list("list_queues") + &list("list_exchanges")
    }

    fn said(&self) -> String {
        let mut text = String::new();
        let _nothing =
            File::open(self.folder.path().join("out")).and_then(|mut f| f.read_to_string(&mut text));
        text
    }

    fn environment(&self) -> Vec<(&'static str, String)> {
        let at = |name: &str| self.folder.path().join(name).display().to_string();
        let (dist, mapping) = self.ports;
        vec![
            ("HOME", self.folder.path().display().to_string()),
            ("LANG", "C.UTF-8".to_owned()),
            ("RABBITMQ_CONF_ENV_FILE", at("none")),
            ("RABBITMQ_NODENAME", format!("t{}@localhost", self.port)),
            ("RABBITMQ_CONFIG_FILE", at("rabbitmq.conf")),
            ("RABBITMQ_ADVANCED_CONFIG_FILE", at("none.config")),
            ("RABBITMQ_ENABLED_PLUGINS_FILE", at("enabled_plugins")),
            ("RABBITMQ_MNESIA_BASE", at("mnesia")),
            ("RABBITMQ_LOG_BASE", at("log")),
            ("RABBITMQ_PID_FILE", at("pid")),
            ("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1".to_owned()),
            ("RABBITMQ_NODE_PORT", self.port.to_string()),
            ("RABBITMQ_DIST_PORT", dist.to_string()),
            // A broker that is killed must leave nothing in the folder the tests are run from.
            ("ERL_CRASH_DUMP", "/dev/null".to_owned()),
            ("ERL_EPMD_PORT", mapping.to_string()),
            ("ERL_EPMD_ADDRESS", "127.0.0.1".to_owned()),
            ("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "-kernel inet_dist_use_interface {127,0,0,1}".to_owned()),
        ]
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill9();
        let _gone = self.mapper.kill();
        let _gone = self.mapper.wait();
    }
}

impl Server {
    /// The process is gone already: the watcher must not kill whoever gets its number next.
    fn release(mut self) {
        let _gone = self.watcher.kill();
        let _gone = self.watcher.wait();
    }
}

/// Waits for the end of its input, which comes when this process ends, and then ends the broker.
fn watcher(server: u32, mapper: u32, folder: &Path) -> Child {
    Command::new("sh")
        .args(["-c", "read _; kill -9 $0 $1; sleep 1; rm -rf \"$2\""])
        .args([server.to_string(), mapper.to_string()])
        .arg(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Two cores bear two brokers: a third test waits here, also one in another process.
fn slot() -> File {
    let paths: [PathBuf; 2] =
        [0, 1].map(|n| std::env::temp_dir().join(format!("throughcare-rabbit-{n}.lock")));
    loop {
        for path in &paths {
            let file = File::options().create(true).append(true).open(path).unwrap();
            if file.try_lock().is_ok() {
                return file;
            }
        }
        sleep(Duration::from_millis(200));
    }
}

fn free_ports() -> [u16; 3] {
    let bound = [0; 3].map(|_| TcpListener::bind("127.0.0.1:0").unwrap());
    bound.map(|listener| listener.local_addr().unwrap().port())
}

fn lay(folder: &Path, port: u16) {
    use std::os::unix::fs::PermissionsExt;
    for name in ["mnesia", "log"] {
        fs::create_dir(folder.join(name)).unwrap();
    }
    let cookie = folder.join(".erlang.cookie");
    fs::write(&cookie, "harnesscookie000000").unwrap();
    fs::set_permissions(&cookie, fs::Permissions::from_mode(0o400)).unwrap();
    fs::write(folder.join("enabled_plugins"), "[].").unwrap();
    let config = format!(
        "listeners.tcp.1 = 127.0.0.1:{port}\nlog.console = false\nlog.file.level = warning\n\
         vm_memory_high_watermark.absolute = 1GiB\ndisk_free_limit.absolute = 50MB\n"
    );
    fs::write(folder.join("rabbitmq.conf"), config).unwrap();
}

#[test]
fn a_broker_starts_stops_starts_again_and_is_gone_with_its_test() {
    let Some(mut broker) = Broker::start() else { return };
    let address = format!("127.0.0.1:{}", broker.port);
    TcpStream::connect(&address).expect("a ready broker takes connections");
    broker.stop();
    assert!(TcpStream::connect(&address).is_err(), "a stopped broker takes none");
    broker.restart();
    TcpStream::connect(&address).expect("it takes them again");
    drop(broker);
    assert!(TcpStream::connect(&address).is_err(), "nothing is left behind");
}
