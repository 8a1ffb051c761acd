//! A small issuing authority: a root and the certificates under it, P-256, as PEM text.
//!
//! For the demonstration and the tests, which make their certificates on the spot. A real estate brings its own
//! certificates; nothing in the daemon's ordinary life issues one.

use std::time::Duration;

use base64::Engine as _;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType,
};

use crate::model::Timestamp;

/// Issuing failed: the name cannot stand in a certificate, or no key could be made.
#[derive(Debug, thiserror::Error)]
#[error("issuing a certificate for {name}")]
pub struct IssueError {
    name: String,
    source: rcgen::Error,
}

/// What a certificate may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To show as a TLS server only.
    Server,
    /// To show as a TLS client only.
    Client,
    /// To show on both sides, as parties of this protocol do.
    ServerAndClient,
    /// To sign messages.
    Signing,
}

/// From when to when a certificate holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// The first moment, cut to the second.
    pub from: Timestamp,
    /// How long, cut to the second.
    pub lasts: Duration,
}

impl Validity {
    /// Thirty days from an hour before `now`, so that a clock a little behind still accepts it.
    pub fn around(now: Timestamp) -> Self {
        let hour = 3_600_000;
        Self { from: Timestamp::from_millis(now.as_millis() - hour), lasts: Duration::from_secs(30 * 86_400) }
    }

    fn apply(self, params: &mut CertificateParams) {
        let since_epoch = |at: Timestamp| at.since(Timestamp::from_millis(0)).as_secs();
        let epoch = rcgen::date_time_ymd(1970, 1, 1);
        params.not_before = epoch + Duration::from_secs(since_epoch(self.from));
        params.not_after = epoch + Duration::from_secs(since_epoch(self.from.plus(self.lasts)));
    }
}

/// A root that issues.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: Vec<u8>,
}

/// A certificate with its key.
#[derive(Clone)]
pub struct Issued {
    /// The certificate, PEM.
    pub certificate_pem: String,
    /// The private key, PKCS #8 PEM: write it to a file of mode 0600.
    pub key_pem: String,
    /// The certificate, DER, for pins.
    pub der: Vec<u8>,
}

impl std::fmt::Debug for Issued {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issued").field("der", &self.der.len()).finish_non_exhaustive()
    }
}

impl Authority {
    /// A new root called `name`.
    pub fn new(name: &str, validity: Validity) -> Result<Self, IssueError> {
        let failed = |source| IssueError { name: name.to_owned(), source };
        let mut params = params(name, &[], validity).map_err(failed)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(failed)?;
        let certificate = params.self_signed(&key).map_err(failed)?.der().to_vec();
        Ok(Self { issuer: Issuer::new(params, key), certificate })
    }

    /// The root certificate, PEM.
    pub fn certificate_pem(&self) -> String {
        pem("CERTIFICATE", &self.certificate)
    }

    /// A certificate with subject CN `name`, valid for `hosts` (DNS names and IP addresses).
    pub fn issue(
        &self,
        name: &str,
        hosts: &[&str],
        purpose: Purpose,
        validity: Validity,
    ) -> Result<Issued, IssueError> {
        let failed = |source| IssueError { name: name.to_owned(), source };
        let mut params = params(name, hosts, validity).map_err(failed)?;
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let (server, client) = (ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth);
        params.extended_key_usages = match purpose {
            Purpose::Server => vec![server],
            Purpose::Client => vec![client],
            Purpose::ServerAndClient => vec![server, client],
            Purpose::Signing => vec![],
        };
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(failed)?;
        let der = params.signed_by(&key, &self.issuer).map_err(failed)?.der().to_vec();
        let key_pem = pem("PRIVATE KEY", key.serialized_der());
        Ok(Issued { certificate_pem: pem("CERTIFICATE", &der), key_pem, der })
    }

    /// A revocation list of this authority naming the serial numbers of `revoked`, PEM.
    pub fn revocation_list(&self, revoked: &[&Issued], validity: Validity) -> Result<String, IssueError> {
        let failed = |source| IssueError { name: "the revocation list".to_owned(), source };
        let mut times = CertificateParams::default();
        validity.apply(&mut times);
        let entry = |issued: &&Issued| {
            let (_, parsed) = x509_parser::parse_x509_certificate(&issued.der).ok()?;
            Some(rcgen::RevokedCertParams {
                serial_number: rcgen::SerialNumber::from_slice(parsed.raw_serial()),
                revocation_time: times.not_before,
                reason_code: Some(rcgen::RevocationReason::KeyCompromise),
                invalidity_date: None,
            })
        };
        let list = rcgen::CertificateRevocationListParams {
            this_update: times.not_before,
            next_update: times.not_after,
            crl_number: rcgen::SerialNumber::from(1u64),
            issuing_distribution_point: None,
            revoked_certs: revoked.iter().filter_map(entry).collect(),
            key_identifier_method: rcgen::KeyIdMethod::Sha256,
        };
        Ok(pem("X509 CRL", list.signed_by(&self.issuer).map_err(failed)?.der()))
    }
}

fn params(name: &str, hosts: &[&str], validity: Validity) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    for host in hosts {
        params.subject_alt_names.push(match host.parse() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) => SanType::DnsName((*host).try_into()?),
        });
    }
    validity.apply(&mut params);
    Ok(params)
}

/// PEM text with lines of 64 characters.
fn pem(label: &str, der: &[u8]) -> String {
    let body = base64::engine::general_purpose::STANDARD.encode(der);
    let mut text = format!("-----BEGIN {label}-----\n");
    for line in body.as_bytes().chunks(64) {
        text.extend(line.iter().map(|b| char::from(*b)));
        text.push('\n');
    }
    text + &format!("-----END {label}-----\n")
}
