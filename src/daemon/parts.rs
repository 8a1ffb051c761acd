//! What a daemon is made of, opened from its settings.

use std::sync::Arc;

use anyhow::Context;

use crate::clock;
use crate::config::{ApplicationAck, Config, Mode};
use crate::directory::{Directory, DirectoryHandle, Standing as Place};
use crate::engine::{Engine, Limits};
use crate::intake::amqp;
use crate::intake::contract::{AllowedNumbers, Rules, Standing};
use crate::perform::{Acknowledge, SignerHandle, SigningFiles, Tools};
use crate::records::{FilingFolder, FolderLimits, RecordFolder};
use crate::store::{Keyring, Options, Store, Vault};
use crate::telemetry::{Metrics, Probe};
use crate::transport::{Tls, TlsFiles, Transport, TransportLimits};

/// Everything that is opened once.
#[derive(Clone)]
pub struct Opened {
    /// Figures.
    pub metrics: Arc<Metrics>,
    /// Where the daemon is in its life.
    pub probe: Arc<Probe>,
    /// Who is who.
    pub directory: DirectoryHandle,
    /// The store.
    pub store: Store,
    /// The sealed packets.
    pub vault: Vault,
    /// Our signature.
    pub signer: SignerHandle,
    tls: Option<Tls>,
    transport: Transport,
    records: Arc<RecordFolder>,
    filing: FilingFolder,
}

impl Opened {
    /// Opens everything, in the order in which a failure says most.
    pub fn open(config: &Config) -> anyhow::Result<Self> {
        let metrics = Arc::new(Metrics::new());
        let probe = Arc::new(Probe::new(metrics.clone()));
        let directory = DirectoryHandle::open(&config.directory.file, clock::now())?;
        let tls = Tls::open(tls_files(config)?)?;
        let signer = match (&config.signing.certificate, &config.signing.key) {
            (Some(certificate), Some(key)) => {
                SignerHandle::open(SigningFiles { certificate: certificate.clone(), key: key.clone() })?
            }
            (_, _) => SignerHandle::default(),
        };
        let folder = |path: &std::path::Path| {
            std::fs::create_dir_all(path)
                .with_context(|| format!("cannot make the folder {}", path.display()))
        };
        for path in [&config.records.dir, &config.filing.dir, &config.service.state_dir] {
            folder(path)?;
        }
        let limits = FolderLimits {
            record_bytes: config.records.max_bundle.as_u64(),
            attachment_bytes: config.records.max_attachment.as_u64(),
        };
        let records = RecordFolder::open(&config.records.dir, limits)
            .with_context(|| format!("cannot open the folder of records {}", config.records.dir.display()))?;
        let filing = FilingFolder::open(&config.filing.dir).with_context(|| {
            format!("cannot open the folder of received records {}", config.filing.dir.display())
        })?;
        let options = Options {
            cache_bytes: config.store.cache.as_u64(),
            low_space_bytes: config.store.reserve.as_u64(),
            ..Options::default()
        };
        let store = Store::open(&config.store.dir, &options)?;
        let vault_folder = config.store.dir.with_file_name("vault");
        let vault = Vault::open(&vault_folder, Keyring::load_or_create(&config.vault.key)?)?;
        let transport = Transport::new(tls.clone(), directory.clone(), TransportLimits::default());
        let (tls, records) = (Some(tls), Arc::new(records));
        Ok(Self { metrics, probe, directory, store, vault, signer, tls, transport, records, filing })
    }

    /// The engine, where the store left off.
    pub fn engine(&self, config: &Config) -> anyhow::Result<Engine> {
        let parties = config.limits.in_flight as usize;
        let limits = Limits {
            parties,
            per_party: config.limits.in_flight_per_party as usize,
            // Half as many for our own work, so that a flood of new events leaves the machine to what is ready to go.
            house: parties.div_ceil(2),
        };
        Ok(Engine::open(self.store.clone(), limits)?)
    }

    /// What the doer takes.
    pub fn tools(&self, config: &Config) -> Tools {
        Tools {
            directory: self.directory.clone(),
            transport: self.transport.clone(),
            vault: self.vault.clone(),
            records: self.records.clone(),
            filing: self.filing.clone(),
            signer: self.signer.clone(),
            acknowledge: match config.filing.application_ack {
                ApplicationAck::WhenFiled => Acknowledge::WhenFiled,
                ApplicationAck::Never => Acknowledge::Never,
            },
            metrics: self.metrics.clone(),
        }
    }

    /// Our certificate and the roots we trust.
    pub fn tls(&self) -> anyhow::Result<Tls> {
        self.tls.clone().context("[tls] has no certificate")
    }

    /// The way to the parties.
    pub fn transport(&self) -> Transport {
        self.transport.clone()
    }
}

fn tls_files(config: &Config) -> anyhow::Result<TlsFiles> {
    let certificate = config.tls.certificate.clone();
    let key = config.tls.key.clone();
    Ok(TlsFiles {
        certificate: certificate
            .context("[tls] certificate is not set; it is needed to send and to receive")?,
        key: key.context("[tls] key is not set; it is needed to send and to receive")?,
        roots: config.tls.trust.clone(),
        crls: config.tls.crl.clone(),
    })
}

/// The broker, where one is configured.
pub fn broker(config: &Config) -> anyhow::Result<Option<amqp::Settings>> {
    let Some(url) = config.broker_url()? else { return Ok(None) };
    let mut settings = amqp::Settings::new(amqp::BrokerUrl::parse(url.reveal())?);
    settings.queue.clone_from(&config.amqp.queue);
    settings.dead_letters.clone_from(&config.amqp.dead_letter_exchange);
    settings.outcomes.clone_from(&config.amqp.outcome_exchange);
    settings.encoding = super::encoding(config.amqp.outcomes_as);
    settings.prefetch = config.amqp.prefetch;
    if config.amqp.declare_topology {
        settings.topology = amqp::Topology::Declare;
    }
    let read = |file: &std::path::PathBuf| {
        std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
    };
    settings.tls.roots = config.amqp.trust.as_ref().map(read).transpose()?;
    if let (Some(certificate), Some(key)) = (&config.amqp.certificate, &config.amqp.key) {
        settings.tls.identity = Some((read(certificate)?, read(key)?));
    }
    Ok(Some(settings))
}

/// Which events are taken, by the settings and the directory in force.
pub fn rules(config: &Config, directory: &Directory) -> Rules {
    let served = |party: &crate::directory::Party| match &party.standing {
        Place::Served(_) => Some((party.ods.clone(), Standing::Served)),
        Place::Refused => Some((party.ods.clone(), Standing::SettingRefused)),
        Place::Peer(_) => None,
    };
    Rules {
        numbers: match config.service.mode {
            Mode::Test => AllowedNumbers::TestOnly,
            Mode::Live => AllowedNumbers::LiveOnly,
        },
        establishments: Some(directory.parties().iter().filter_map(served).collect()),
        publishers: None,
    }
}
