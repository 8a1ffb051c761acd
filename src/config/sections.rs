//! The sections of the settings, one struct each, with the value a key has when it is not written.
//!
//! What a key means to an administrator stands in `systemd/throughcare.toml`; here stands its type. Whether values
//! go together is not decided here: see `check`.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::secret::AmqpUrl;
use super::units::{Size, Span};

macro_rules! section {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty = $default:expr,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $type,)*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $default,)* }
            }
        }
    };
}

/// Whether this installation handles real people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Only NHS numbers of the test range (999…) are accepted.
    Test,
    /// Real people; NHS numbers of the test range are refused (custody reference §4).
    Live,
}

/// How outcomes are written on the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OutcomeForm {
    /// JSON with the names of the protobuf fields.
    Json,
    /// Protobuf.
    Protobuf,
}

/// When a received extract is answered by an application acknowledgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ApplicationAck {
    /// As soon as it is filed in full (S66).
    WhenFiled,
    /// Not by this daemon: the clinical system says so itself.
    Never,
}

/// Who decides what becomes of a record that was asked for (gp2gp reference §2.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DecidedBy {
    /// The clinical system says so by an event of its own.
    ClinicalSystem,
    /// Nobody: what lies in the folder counts as integrated.
    AutoFile,
}

/// Where log lines go and in which form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// The journal; text on standard error where there is none.
    Journald,
    /// One JSON object a line on standard error.
    Json,
    /// Lines for a person on standard error.
    Text,
}

/// The least important line that is still written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogLevel {
    /// What stopped us.
    Error,
    /// What wants a person.
    Warn,
    /// What changed state.
    Info,
    /// What we decided.
    Debug,
    /// Everything.
    Trace,
}

section! {
    /// The daemon itself. Who we are stands in the directory, in the entries that are served.
    Service {
        /// Test or live.
        mode: Mode = Mode::Test,
        /// Where everything durable is kept; other relative data paths are below it.
        state_dir: PathBuf = PathBuf::from("/var/lib/throughcare"),
        /// How long a stop may take to finish what is in flight. What is not finished is taken up at the next start.
        stop_within: Span = Span::seconds(30),
    }
}

section! {
    /// The embedded store.
    Store {
        /// Its folder.
        dir: PathBuf = PathBuf::from("store"),
        /// Memory for its pages; below 256 MiB its memory grows instead of shrinking (limits reference, fact 4).
        cache: Size = Size::mebibytes(256),
        /// Free disk space below which nothing new is accepted.
        reserve: Size = Size::mebibytes(256),
    }
}

section! {
    /// The message queue, when there is one: consumed when `url` or `url_file` is set.
    Amqp {
        /// Where the broker is, password included.
        url: Option<AmqpUrl> = None,
        /// A file that holds the URL, so that the password stays out of the settings.
        url_file: Option<PathBuf> = None,
        /// The durable quorum queue of custody events.
        queue: String = "throughcare.events".to_owned(),
        /// Where events that cannot be used go, with the reason in a header.
        dead_letter_exchange: String = "throughcare.dead-letters".to_owned(),
        /// The topic exchange outcomes are published to.
        outcome_exchange: String = "throughcare.outcomes".to_owned(),
        /// Events held unacknowledged at once (limits reference §2: 512 to 1024 is enough).
        prefetch: u16 = 512,
        /// Whether to declare the queue and the exchanges; otherwise they are checked.
        declare_topology: bool = false,
        /// How outcomes are written.
        outcomes_as: OutcomeForm = OutcomeForm::Json,
        /// Roots for `amqps` beside the system's, PEM.
        trust: Option<PathBuf> = None,
        /// Our certificate for a broker that wants one, PEM.
        certificate: Option<PathBuf> = None,
        /// Its private key, PEM.
        key: Option<PathBuf> = None,
    }
}

section! {
    /// The spool folder: where events are dropped and outcomes written when there is no broker.
    Spool {
        /// Its folder.
        dir: PathBuf = PathBuf::from("spool"),
    }
}

section! {
    /// Where custody records are fetched from.
    Records {
        /// A folder of FHIR bundles and attachments.
        dir: PathBuf = PathBuf::from("records"),
        /// The largest bundle read. The largest core extracts are a few megabytes; the bundle is several times that.
        max_bundle: Size = Size::mebibytes(64),
        /// The largest single attachment read: one of 676.6 MB has been seen (custody reference §11).
        max_attachment: Size = Size::bytes(1_000_000_000),
    }
}

section! {
    /// What happens to an extract that arrives.
    Filing {
        /// Where received records are filed.
        dir: PathBuf = PathBuf::from("filed"),
        /// Whether an extract we did not ask for is taken (a push) instead of refused with code 09.
        accept_push: bool = false,
        /// When the practice's clinical answer is given.
        application_ack: ApplicationAck = ApplicationAck::WhenFiled,
        /// Who decides what becomes of a record that was asked for.
        decided_by: DecidedBy = DecidedBy::ClinicalSystem,
    }
}

section! {
    /// Which roles of GP2GP the node plays (S3).
    Gp2gp {
        /// Whether records are asked for, and taken.
        requester: bool = true,
        /// Whether practices that ask get a record.
        sender: bool = true,
    }
}

section! {
    /// Who the other parties are.
    Directory {
        /// The directory file.
        file: PathBuf = PathBuf::from("directory.toml"),
        /// How often the file is looked at for a change.
        check_every: Span = Span::seconds(5),
    }
}

section! {
    /// The HTTPS endpoint practices deliver to: open when `listen` is set.
    Inbox {
        /// Address and port.
        listen: Option<SocketAddr> = None,
        /// The only path that is served.
        path: String = "/".to_owned(),
        /// The largest request accepted: 5 MB and the envelope (wire reference §2, LM01).
        max_message: Size = Size::bytes(6_000_000),
        /// Connections at once.
        max_connections: u32 = 256,
        /// How long one request may take to arrive in full.
        read_within: Span = Span::seconds(60),
    }
}

section! {
    /// Our end of mutual TLS, for the inbox and for delivery alike.
    Tls {
        /// Our certificate chain, PEM.
        certificate: Option<PathBuf> = None,
        /// Its private key, PEM.
        key: Option<PathBuf> = None,
        /// Trust roots, PEM; several at once, so that a root can be replaced.
        trust: Vec<PathBuf> = Vec::new(),
        /// Certificate revocation lists, PEM.
        crl: Vec<PathBuf> = Vec::new(),
    }
}

section! {
    /// What signs our packets. The algorithm follows from the key: P-256 or RSA of at least 2048 bits.
    Signing {
        /// The certificate that goes with every signature, PEM.
        certificate: Option<PathBuf> = None,
        /// Its private key, PEM.
        key: Option<PathBuf> = None,
    }
}

section! {
    /// What seals packets and records on disk.
    Vault {
        /// The sealing key: 32 bytes, made at the first start when the file is not there and its folder is ours.
        key: PathBuf = PathBuf::from("vault.key"),
    }
}

section! {
    /// How much is done at once.
    Limits {
        /// Packets being made or on their way at once, as the engine's own default has it.
        in_flight: u32 = 512,
        /// To one party.
        in_flight_per_party: u32 = 128,
    }
}

section! {
    /// The operators' socket.
    Control {
        /// Its path.
        socket: PathBuf = PathBuf::from("/run/throughcare/control.sock"),
        /// The group whose members are operators; the daemon's own when it is not named.
        group: Option<String> = None,
    }
}

section! {
    /// What the daemon tells about itself.
    Telemetry {
        /// Form of the log.
        log: LogFormat = LogFormat::Journald,
        /// Detail of the log.
        level: LogLevel = LogLevel::Info,
        /// Loopback address of health and metrics; none means they are not served.
        listen: Option<SocketAddr> = None,
    }
}
