//! What a daemon is made of, opened from its settings.

use std::sync::Arc;

use anyhow::Context;

use crate::config::{ApplicationAck, Config, DecidedBy, Mode};
use crate::daemon::material::Material;
use crate::directory::{Directory, DirectoryHandle, Standing as Place};
use crate::engine::{Engine, Limits, Switch};
use crate::intake::amqp;
use crate::intake::contract::{AllowedNumbers, Rules, Standing};
use crate::perform::{Acknowledge, Room, SignerHandle, Tools};
use crate::records::{FilingFolder, FolderLimits, RecordFolder};
use crate::store::{Options, Store, Vault};
use crate::telemetry::{Metrics, Probe};
use crate::transfer::custody::Filing;
use crate::transport::{Tls, Transport, TransportLimits};

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
    /// The broker, where one is configured.
    pub broker: Option<amqp::Settings>,
    /// Our certificate and the roots we trust.
    pub tls: Tls,
    transport: Transport,
    records: Arc<RecordFolder>,
    filing: FilingFolder,
}

impl Opened {
    /// Opens what is written, around what was read.
    pub fn open(config: &Config, material: Material) -> anyhow::Result<Self> {
        let Material { directory, tls, signer, keys, broker } = material;
        let metrics = Arc::new(Metrics::new());
        let probe = Arc::new(Probe::new(metrics.clone()));
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
        let vault = Vault::open(&vault_folder, keys.context("the vault key was not made")?)?;
        let transport = Transport::new(tls.clone(), directory.clone(), TransportLimits::default());
        let records = Arc::new(records);
        Ok(Self { metrics, probe, directory, store, vault, signer, broker, tls, transport, records, filing })
    }

    /// The engine, where the store left off.
    pub fn engine(&self, config: &Config) -> anyhow::Result<Engine> {
        let parties = config.limits.in_flight as usize;
        let limits = Limits {
            parties,
            per_party: config.limits.in_flight_per_party as usize,
            // Half as many for our own work, so that a flood of new events leaves the machine to what is ready to go.
            house: parties.div_ceil(2),
            ..Limits::default()
        };
        let switch = Switch { requester: config.gp2gp.requester, sender: config.gp2gp.sender };
        Ok(Engine::open(self.store.clone(), limits)?.switched(switch))
    }

    /// What the doer takes.
    pub fn tools(&self, config: &Config) -> Tools {
        Tools {
            directory: self.directory.clone(),
            transport: self.transport.clone(),
            vault: self.vault.clone(),
            store: self.store.clone(),
            records: self.records.clone(),
            filing: self.filing.clone(),
            signer: self.signer.clone(),
            acknowledge: match config.filing.application_ack {
                ApplicationAck::WhenFiled => Acknowledge::WhenFiled,
                ApplicationAck::Never => Acknowledge::Never,
            },
            decides: match config.filing.decided_by {
                DecidedBy::ClinicalSystem => None,
                DecidedBy::AutoFile => Some(Filing::Integrated),
            },
            metrics: self.metrics.clone(),
            room: Room::default(),
        }
    }

    /// The way to the parties.
    pub fn transport(&self) -> Transport {
        self.transport.clone()
    }
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
