//! Who may talk to whom: certificates, roots, pins, reload.

use super::*;
use throughcare::transport::{NotTheirs, Observation, TlsError};

/// Both ends under one root, the server running; returns the answer to one post by `client`.
async fn post(client: &End, server: &Serving, more: &str) -> Observation {
    client
        .transport(server.port(), more, TransportLimits::default())
        .post(&route(server.port()), &letter(10), PATIENCE)
        .await
}

fn status(answer: &Observation) -> Option<u16> {
    match answer {
        Observation::Reply(reply) => Some(reply.status),
        Observation::Unreachable { .. } | Observation::TlsIdentity { .. } | Observation::Broken { .. } => {
            None
        }
    }
}

async fn practice(authority: &Authority, roots: &[&Authority]) -> (End, Serving) {
    let end = End::new(&leaf(authority, "practice"), roots);
    let directory = end.directory(PRISON, 9, "");
    let serving = serve(end.tls(), directory, Echo::default(), InboxLimits::default()).await;
    (end, serving)
}

#[tokio::test]
async fn two_ends_that_trust_each_other_exchange_a_message() {
    let authority = root("one");
    let (_end, server) = practice(&authority, &[&authority]).await;
    let client = End::new(&leaf(&authority, "prison"), &[&authority]);
    let answer = post(&client, &server, "").await;
    let Observation::Reply(reply) = answer else { panic!("the good case must work: {answer:?}") };
    assert_eq!((reply.status, reply.body.as_slice()), (200, &b"<took octets=\"10\"/>"[..]));
    assert_eq!(reply.content_type.as_deref(), Some("text/xml"), "without a parameter (wire reference §1.4)");
}

#[tokio::test]
async fn a_caller_without_a_certificate_is_turned_away() {
    let authority = root("one");
    let (_end, server) = practice(&authority, &[&authority]).await;
    let mut roots = rustls::RootCertStore::empty();
    let pem = authority.certificate_pem();
    let der = <rustls::pki_types::CertificateDer<'_> as rustls::pki_types::pem::PemObject>::from_pem_slice(
        pem.as_bytes(),
    );
    roots.add(der.unwrap()).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config));
    let tcp = tokio::net::TcpStream::connect(server.address).await.unwrap();
    let outcome = async {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut tls = connector.connect("localhost".try_into().unwrap(), tcp).await?;
        tls.write_all(b"POST /messages HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n").await?;
        let mut answer = Vec::new();
        tls.read_to_end(&mut answer).await.map(|_| answer)
    };
    let error = outcome.await.expect_err("no certificate, no answer");
    assert!(error.to_string().contains("CertificateRequired"), "the alert says why: {error}");
}

#[tokio::test]
async fn a_certificate_of_an_unknown_root_is_refused_on_either_side() {
    let (ours, theirs) = (root("ours"), root("theirs"));
    let (_end, server) = practice(&ours, &[&ours]).await;

    let stranger = End::new(&leaf(&theirs, "prison"), &[&ours]);
    let answer = post(&stranger, &server, "").await;
    assert!(matches!(answer, Observation::TlsIdentity { .. }), "the server refuses the client: {answer:?}");

    let wary = End::new(&leaf(&ours, "prison"), &[&theirs]);
    let answer = post(&wary, &server, "").await;
    assert!(matches!(answer, Observation::TlsIdentity { .. }), "the client refuses the server: {answer:?}");
}

#[tokio::test]
async fn an_expired_certificate_is_refused_on_either_side() {
    let authority = root("one");
    let now = clock::now().as_millis();
    let past = Validity {
        from: throughcare::model::Timestamp::from_millis(now - 7_200_000),
        lasts: Duration::from_secs(3_600),
    };
    let expired =
        authority.issue("prison", &["localhost", "127.0.0.1"], Purpose::ServerAndClient, past).unwrap();

    let (_end, server) = practice(&authority, &[&authority]).await;
    let answer = post(&End::new(&expired, &[&authority]), &server, "").await;
    assert!(matches!(answer, Observation::TlsIdentity { .. }), "an expired client: {answer:?}");

    let old = End::new(&expired, &[&authority]);
    let old_server =
        serve(old.tls(), old.directory(PRISON, 9, ""), Echo::default(), InboxLimits::default()).await;
    let client = End::new(&leaf(&authority, "prison"), &[&authority]);
    let answer = post(&client, &old_server, "").await;
    assert!(matches!(answer, Observation::TlsIdentity { .. }), "an expired server: {answer:?}");

    let pin = format!("[party.tls]\nserver_pins = [\"{}\"]", Fingerprint::of(&expired.der));
    let answer = post(&client, &old_server, &pin).await;
    assert!(matches!(answer, Observation::TlsIdentity { .. }), "a pin does not revive it: {answer:?}");
}

#[tokio::test]
async fn a_server_of_another_name_is_refused_unless_the_directory_names_it() {
    let authority = root("one");
    let validity = Validity::around(clock::now());
    let other = authority.issue("mhs", &["mhs.example"], Purpose::ServerAndClient, validity).unwrap();
    let end = End::new(&other, &[&authority]);
    let server =
        serve(end.tls(), end.directory(PRISON, 9, ""), Echo::default(), InboxLimits::default()).await;
    let client = End::new(&leaf(&authority, "prison"), &[&authority]);
    let answer = post(&client, &server, "").await;
    assert!(matches!(answer, Observation::TlsIdentity { .. }), "the URL says 127.0.0.1: {answer:?}");
    let answer = post(&client, &server, "[party.tls]\nserver_name = \"mhs.example\"").await;
    assert_eq!(status(&answer), Some(200), "{answer:?}");
}

#[tokio::test]
async fn pins_narrow_trust_and_stand_in_for_a_root() {
    let (ours, theirs) = (root("ours"), root("theirs"));
    let identity = leaf(&theirs, "practice");
    let end = End::new(&identity, &[&theirs]);
    let prison = leaf(&ours, "prison");
    let more = format!("[party.tls]\nclient_pins = [\"sha256:{}\"]", Fingerprint::of(&prison.der));
    let server =
        serve(end.tls(), end.directory(PRISON, 9, &more), Echo::default(), InboxLimits::default()).await;
    let client = End::new(&prison, &[&ours]);

    let pinned = format!("[party.tls]\nserver_pins = [\"{}\"]", Fingerprint::of(&identity.der));
    let answer = post(&client, &server, &pinned).await;
    assert_eq!(status(&answer), Some(200), "pinned on both sides, no common root: {answer:?}");

    let other = format!("[party.tls]\nserver_pins = [\"{}\"]", "00".repeat(32));
    let answer = post(&client, &server, &other).await;
    assert!(matches!(answer, Observation::TlsIdentity { .. }), "another certificate is pinned: {answer:?}");

    let sibling = End::new(&leaf(&ours, "prison"), &[&ours]);
    let answer = post(&sibling, &server, &pinned).await;
    assert!(
        matches!(answer, Observation::TlsIdentity { .. }),
        "only the pinned certificate is let in: {answer:?}"
    );
}

#[tokio::test]
async fn a_party_may_have_roots_of_its_own() {
    let (ours, theirs) = (root("ours"), root("theirs"));
    let (_end, server) = practice(&theirs, &[&ours]).await;
    let client = End::new(&leaf(&ours, "prison"), &[&ours]);
    write(&client.path("theirs.pem"), &theirs.certificate_pem(), 0o644);
    let answer = post(&client, &server, "[party.tls]\nca = [\"theirs.pem\"]").await;
    assert_eq!(status(&answer), Some(200), "{answer:?}");
    let answer = post(&client, &server, "").await;
    assert!(
        matches!(answer, Observation::TlsIdentity { .. }),
        "without its root it is a stranger: {answer:?}"
    );
}

#[tokio::test]
async fn two_roots_hold_at_once_and_certificates_change_without_a_restart() {
    let (old, new) = (root("old"), root("new"));
    let end = End::new(&leaf(&old, "practice"), &[&old, &new]);
    let tls = end.tls();
    let server =
        serve(tls.clone(), end.directory(PRISON, 9, ""), Echo::default(), InboxLimits::default()).await;
    let early = End::new(&leaf(&old, "prison"), &[&old, &new]);
    let late = End::new(&leaf(&new, "prison"), &[&old, &new]);
    let early_transport = early.transport(server.port(), "", TransportLimits::default());
    let (there, short) = (route(server.port()), letter(1));
    let go = || early_transport.post(&there, &short, PATIENCE);
    assert_eq!(status(&go().await), Some(200), "the old root holds");
    assert_eq!(status(&post(&late, &server, "").await), Some(200), "and so does the new one");

    end.identify(&leaf(&new, "practice"));
    end.trust(&[&new]);
    tls.reload().expect("the new files are in order");
    assert_eq!(status(&go().await), Some(200), "a connection made before the change drains");
    let answer = post(&early, &server, "").await;
    assert!(
        matches!(answer, Observation::TlsIdentity { .. }),
        "a new one under the old root is refused: {answer:?}"
    );
    assert_eq!(status(&post(&late, &server, "").await), Some(200));

    write(&end.path("tls.pem"), "not a certificate", 0o644);
    assert!(tls.reload().is_err(), "a bad file is refused");
    assert!(tls.status().problem.is_some(), "and said");
    assert_eq!(status(&post(&late, &server, "").await), Some(200), "the last good one stays");
}

#[tokio::test]
async fn a_client_uses_its_new_certificate_for_the_next_message() {
    let authority = root("one");
    let end = End::new(&leaf(&authority, "practice"), &[&authority]);
    let desk = Echo::default();
    let seen = desk.seen.clone();
    let server = serve(end.tls(), end.directory(PRISON, 9, ""), desk, InboxLimits::default()).await;
    let (first, second) = (leaf(&authority, "prison"), leaf(&authority, "prison"));
    let client = End::new(&first, &[&authority]);
    let tls = client.tls();
    let directory = client.directory(PRACTICE, server.port(), "");
    let transport = Transport::new(tls.clone(), directory, TransportLimits::default());
    transport.post(&route(server.port()), &letter(1), PATIENCE).await;
    client.identify(&second);
    tls.reload().expect("in order");
    transport.post(&route(server.port()), &letter(1), PATIENCE).await;
    let shown = [Some(Fingerprint::of(&first.der)), Some(Fingerprint::of(&second.der))];
    assert_eq!(*seen.lock().unwrap(), shown, "a pooled connection of the old certificate is not used again");
}

#[tokio::test]
async fn a_revoked_certificate_is_refused() {
    let authority = root("one");
    let (good, bad) = (leaf(&authority, "prison"), leaf(&authority, "prison"));
    let end = End::new(&leaf(&authority, "practice"), &[&authority]);
    let list = authority.revocation_list(&[&bad], Validity::around(clock::now())).unwrap();
    write(&end.path("revoked.pem"), &list, 0o644);
    let server =
        serve(end.tls(), end.directory(PRISON, 9, ""), Echo::default(), InboxLimits::default()).await;
    assert_eq!(status(&post(&End::new(&good, &[&authority]), &server, "").await), Some(200));
    let answer = post(&End::new(&bad, &[&authority]), &server, "").await;
    assert!(matches!(answer, Observation::TlsIdentity { .. }), "{answer:?}");
}

#[test]
fn a_private_key_that_group_or_others_can_read_is_refused() {
    let authority = root("one");
    let end = End::new(&leaf(&authority, "prison"), &[&authority]);
    let key = end.path("tls.key");
    for mode in [0o604, 0o640] {
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode)).unwrap();
        let error = Tls::open(end.files()).expect_err("it is not private");
        assert!(matches!(error, TlsError::KeyExposed { .. }), "{error}");
        assert!(error.to_string().contains("chmod 400"), "{error}");
    }
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o400)).unwrap();
    assert!(Tls::open(end.files()).is_ok(), "its owner may read it");
}

#[test]
fn a_key_of_another_certificate_is_refused() {
    let authority = root("one");
    let end = End::new(&leaf(&authority, "prison"), &[&authority]);
    write(&end.path("tls.key"), &leaf(&authority, "other").key_pem, 0o600);
    let error = Tls::open(end.files()).expect_err("they do not belong together");
    assert!(matches!(error, TlsError::Pair { .. }), "{error}");
}

#[test]
fn a_certificate_speaks_only_for_the_party_it_names() {
    let (ours, theirs) = (root("ours"), root("theirs"));
    let end = End::new(&leaf(&ours, "prison"), &[&ours]);
    let tls = end.tls();
    let chain = |issued: &Issued| vec![rustls::pki_types::CertificateDer::from(issued.der.clone())];
    let judge = |more: &str, issued: &Issued| {
        let directory = end.directory(PRACTICE, 9, more).current();
        let party = directory.by_party_key(&PartyKey::parse(PRACTICE.1).unwrap()).unwrap();
        tls.speaks_for(&chain(issued), party.peer().unwrap(), clock::now())
    };
    let (practice, other) = (leaf(&ours, "practice.example"), leaf(&ours, "other.example"));
    let named = "[party.tls]\nclient_names = [\"Practice.example\"]";
    assert_eq!(judge(named, &practice), Ok(()));
    assert_eq!(judge(named, &other), Err(NotTheirs::OtherName), "another party's certificate");
    assert_eq!(
        judge(named, &leaf(&theirs, "practice.example")),
        Err(NotTheirs::OtherIssuer),
        "the name alone is nothing"
    );
    let pinned = format!("[party.tls]\nclient_pins = [\"{}\"]", Fingerprint::of(&practice.der));
    assert_eq!(judge(&pinned, &practice), Ok(()));
    assert_eq!(judge(&pinned, &leaf(&ours, "practice.example")), Err(NotTheirs::NotPinned));
    write(&end.path("theirs.pem"), &theirs.certificate_pem(), 0o644);
    let own_root = "[party.tls]\nca = [\"theirs.pem\"]\nclient_names = [\"practice.example\"]";
    assert_eq!(judge(own_root, &leaf(&theirs, "practice.example")), Ok(()));
    assert_eq!(judge(own_root, &practice), Err(NotTheirs::OtherIssuer), "its own roots, not ours");
}
