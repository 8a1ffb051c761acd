//! Whom to believe: chains under roots, and pinned certificates that need no chain.
//!
//! Chains, names, purposes and revocation are the TLS library's judgement. Ours is only when a pin is asked for
//! beside the chain (the party has its own roots) and when it stands instead of one (it has none).

use std::collections::HashSet;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::SingleCertAndKey;
use rustls::time_provider::TimeProvider;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, RootCertStore,
    ServerConfig, SignatureScheme,
};
use x509_parser::extensions::GeneralName;

use super::Material;
use crate::directory::{Directory, Fingerprint, PeerTls};
use crate::model::Timestamp;

/// The time for certificate validity, from the one place that reads it.
#[derive(Debug)]
struct Clock;

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(crate::clock::now().since(Timestamp::from_millis(0))))
    }
}

/// What we show a party, and what we believe from it.
pub(super) fn client_config(material: &Material, peer: &PeerTls) -> Result<ClientConfig, String> {
    let trust = Trust::of_party(material, peer)?;
    let verifier = PartyServer { trust, must_be_pinned: !peer.server_pins.is_empty() };
    let builder = ClientConfig::builder_with_details(material.provider.clone(), Arc::new(Clock));
    let builder = builder.with_safe_default_protocol_versions().map_err(|e| e.to_string())?;
    let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
    Ok(builder.with_client_cert_resolver(Arc::new(single(material))))
}

/// What the inbox shows, and whom it lets in.
pub(super) fn server_config(material: &Material, directory: &Directory) -> Result<ServerConfig, String> {
    let trust = Trust::of_everyone(material, directory)?;
    let builder = ServerConfig::builder_with_details(material.provider.clone(), Arc::new(Clock));
    let builder = builder.with_safe_default_protocol_versions().map_err(|e| e.to_string())?;
    let builder = builder.with_client_cert_verifier(Arc::new(AnyParty { trust }));
    Ok(builder.with_cert_resolver(Arc::new(single(material))))
}

fn single(material: &Material) -> SingleCertAndKey {
    SingleCertAndKey::from((*material.certified).clone())
}

/// Roots, revocation lists and pins, made into the library's verifiers.
#[derive(Debug)]
pub(super) struct Trust {
    as_server: Option<Arc<WebPkiServerVerifier>>,
    as_client: Option<Arc<dyn ClientCertVerifier>>,
    pins: HashSet<Fingerprint>,
    /// Whether a pin may stand instead of a chain.
    pin_suffices: bool,
    provider: Arc<CryptoProvider>,
}

impl Trust {
    /// A party's own roots when it has any, else ours.
    pub(super) fn of_party(material: &Material, peer: &PeerTls) -> Result<Self, String> {
        let own: Vec<_> = peer.roots.iter().map(|r| CertificateDer::from(r.as_slice())).collect();
        let roots = if own.is_empty() { &material.roots[..] } else { &own[..] };
        let pins = peer.server_pins.iter().copied().collect();
        Self::new(material, roots.iter(), pins, own.is_empty())
    }

    /// Our roots, every party's own roots, and every pinned client certificate.
    pub(super) fn of_everyone(material: &Material, directory: &Directory) -> Result<Self, String> {
        let theirs: HashSet<&[u8]> =
            directory.peers().flat_map(|(_, p)| &p.tls.roots).map(Vec::as_slice).collect();
        let theirs: Vec<_> = theirs.into_iter().map(CertificateDer::from).collect();
        let pins = directory.peers().flat_map(|(_, p)| &p.tls.client_pins).copied().collect();
        Self::new(material, material.roots.iter().chain(&theirs), pins, true)
    }

    fn new<'a>(
        material: &Material,
        roots: impl Iterator<Item = &'a CertificateDer<'a>>,
        pins: HashSet<Fingerprint>,
        pin_suffices: bool,
    ) -> Result<Self, String> {
        let mut store = RootCertStore::empty();
        for root in roots {
            store.add(root.clone().into_owned()).map_err(|e| format!("a root certificate: {e}"))?;
        }
        let provider = material.provider.clone();
        let mut trust =
            Self { as_server: None, as_client: None, pins, pin_suffices, provider: provider.clone() };
        if store.is_empty() {
            return Ok(trust);
        }
        // An issuer without a list is not checked, one with a stale list is refused: whoever configures lists
        // means them.
        let store = Arc::new(store);
        let server = WebPkiServerVerifier::builder_with_provider(store.clone(), provider.clone())
            .with_crls(material.crls.iter().cloned())
            .only_check_end_entity_revocation()
            .allow_unknown_revocation_status()
            .enforce_revocation_expiration();
        let client = WebPkiClientVerifier::builder_with_provider(store, provider)
            .with_crls(material.crls.iter().cloned())
            .only_check_end_entity_revocation()
            .allow_unknown_revocation_status()
            .enforce_revocation_expiration()
            .clear_root_hint_subjects();
        trust.as_server = Some(server.build().map_err(|e| e.to_string())?);
        trust.as_client = Some(client.build().map_err(|e| e.to_string())?);
        Ok(trust)
    }

    /// Whether this certificate may be a client's.
    pub(super) fn client(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        let chain = match &self.as_client {
            Some(verifier) => verifier.verify_client_cert(leaf, intermediates, now).map(drop),
            None => Err(CertificateError::UnknownIssuer.into()),
        };
        self.or_pinned(chain, leaf, now)
    }

    fn server(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), Error> {
        let chain = match &self.as_server {
            Some(verifier) => verifier.verify_server_cert(leaf, intermediates, name, &[], now).map(drop),
            None => Err(CertificateError::UnknownIssuer.into()),
        };
        self.or_pinned(chain, leaf, now)
    }

    /// A pin answers "who issued this" and "whose name is this", and nothing else: a revoked or expired
    /// certificate stays refused.
    fn or_pinned(
        &self,
        chain: Result<(), Error>,
        leaf: &CertificateDer<'_>,
        now: UnixTime,
    ) -> Result<(), Error> {
        use CertificateError::{NotValidForName, NotValidForNameContext, UnknownIssuer};
        let error = match chain {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        let answered = match &error {
            Error::InvalidCertificate(UnknownIssuer | NotValidForName | NotValidForNameContext { .. }) => {
                true
            }
            // A self-signed certificate may call itself an authority; pinned, it is still only itself.
            Error::InvalidCertificate(CertificateError::Other(_)) => true,
            _ => false,
        };
        if answered && self.pin_suffices && self.pins.contains(&Fingerprint::of(leaf)) {
            within_validity(leaf, now)
        } else {
            Err(error)
        }
    }
}

fn within_validity(leaf: &CertificateDer<'_>, now: UnixTime) -> Result<(), Error> {
    let Ok((_, parsed)) = x509_parser::parse_x509_certificate(leaf) else {
        return Err(CertificateError::BadEncoding.into());
    };
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    let validity = parsed.validity();
    if now < validity.not_before.timestamp() {
        Err(CertificateError::NotValidYet.into())
    } else if now > validity.not_after.timestamp() {
        Err(CertificateError::Expired.into())
    } else {
        Ok(())
    }
}

/// The subject CN and the DNS names of a certificate; nothing of one that cannot be read.
pub fn certificate_names(der: &[u8]) -> Vec<String> {
    let Ok((_, certificate)) = x509_parser::parse_x509_certificate(der) else { return Vec::new() };
    let common = certificate.subject().iter_common_name().filter_map(|n| n.as_str().ok()).map(str::to_owned);
    let mut names: Vec<String> = common.collect();
    if let Ok(Some(alternative)) = certificate.subject_alternative_name() {
        names.extend(alternative.value.general_names.iter().filter_map(|name| match name {
            GeneralName::DNSName(dns) => Some((*dns).to_owned()),
            _ => None,
        }));
    }
    names
}

/// The server at a party's address.
#[derive(Debug)]
struct PartyServer {
    trust: Trust,
    must_be_pinned: bool,
}

impl ServerCertVerifier for PartyServer {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.must_be_pinned && !self.trust.pins.contains(&Fingerprint::of(leaf)) {
            return Err(CertificateError::ApplicationVerificationFailure.into());
        }
        self.trust.server(leaf, intermediates, name, now).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.trust.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.trust.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.trust.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// A client of the inbox.
#[derive(Debug)]
struct AnyParty {
    trust: Trust,
}

impl ClientCertVerifier for AnyParty {
    /// No hints: they would list the directory's parties to anyone who connects.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.trust.client(leaf, intermediates, now).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.trust.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.trust.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.trust.provider.signature_verification_algorithms.supported_schemes()
    }
}
