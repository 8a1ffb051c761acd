//! The client against good, slow, silent and rude servers; the server against slow and rude clients.

use super::*;
use std::sync::Arc;
use throughcare::transport::Observation;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// A pair under one root, with the server running.
async fn pair(limits: InboxLimits) -> (End, Serving) {
    let authority = root("one");
    let server = End::new(&leaf(&authority, "practice"), &[&authority]);
    let serving = serve(server.tls(), server.directory(PRISON, 9, ""), Echo::default(), limits).await;
    (End::new(&leaf(&authority, "prison"), &[&authority]), serving)
}

/// A TLS server that does with each connection what `act` says; its port, and the client to call it with.
async fn rude<F, A>(act: F) -> (End, u16)
where
    F: Fn(tokio_rustls::server::TlsStream<tokio::net::TcpStream>) -> A + Send + 'static,
    A: Future<Output = ()> + Send + 'static,
{
    let authority = root("one");
    let server = End::new(&leaf(&authority, "practice"), &[&authority]);
    let config = server.tls().server_config(&server.directory(PRISON, 9, "").current()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let acceptor = TlsAcceptor::from(config);
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            if let Ok(tls) = acceptor.accept(tcp).await {
                tokio::spawn(act(tls));
            }
        }
    });
    (End::new(&leaf(&authority, "prison"), &[&authority]), port)
}

/// Reads one request whose body is `body` octets long.
async fn read_request(tls: &mut tokio_rustls::server::TlsStream<tokio::net::TcpStream>, body: usize) -> bool {
    let mut seen = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        if let Some(end) = seen.windows(4).position(|w| w == b"\r\n\r\n")
            && seen.len() >= end + 4 + body
        {
            return true;
        }
        match tls.read(&mut buffer).await {
            Ok(0) | Err(_) => return false,
            Ok(count) => seen.extend_from_slice(&buffer[..count]),
        }
    }
}

#[tokio::test]
async fn one_connection_carries_many_messages() {
    let (client, server) = pair(InboxLimits::default()).await;
    let transport = client.transport(server.port(), "", TransportLimits::default());
    for _ in 0..20 {
        let answer = transport.post(&route(server.port()), &letter(20_000), PATIENCE).await;
        assert!(matches!(answer, Observation::Reply(_)), "{answer:?}");
    }
    assert_eq!(transport.status()[0].opened, 1, "a handshake costs more than the message");
}

#[tokio::test]
async fn messages_in_flight_at_once_use_no_more_connections_than_allowed() {
    let (client, server) = pair(InboxLimits::default()).await;
    let limits = TransportLimits { per_party: 4, ..TransportLimits::default() };
    let transport = client.transport(server.port(), "", limits);
    let mut posts = tokio::task::JoinSet::new();
    for _ in 0..64 {
        let transport = transport.clone();
        let route = route(server.port());
        posts.spawn(async move { transport.post(&route, &letter(1000), PATIENCE).await });
    }
    while let Some(answer) = posts.join_next().await {
        assert!(matches!(answer.unwrap(), Observation::Reply(_)));
    }
    let lane = &transport.status()[0];
    assert!((1..=4).contains(&lane.opened), "four turns, four connections: {lane:?}");
    assert_eq!(lane.in_flight, 0);
}

#[tokio::test]
async fn a_connection_the_server_closed_is_replaced_without_the_caller_noticing() {
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let (client, port) = rude(move |mut tls| async move {
        // Promises to keep the connection, then closes it.
        if read_request(&mut tls, 100).await {
            drop(tls.write_all(answer).await);
            drop(tls.shutdown().await);
        }
    })
    .await;
    let transport = client.transport(port, "", TransportLimits::default());
    for round in 0..5 {
        let answer = transport.post(&route(port), &letter(100), PATIENCE).await;
        assert!(matches!(answer, Observation::Reply(_)), "round {round}: {answer:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(transport.status()[0].opened, 5);
}

#[tokio::test]
async fn a_hanging_party_does_not_delay_another() {
    let (client, server) = pair(InboxLimits::default()).await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent_port = silent.local_addr().unwrap().port();
    let both = entry(PRACTICE, server.port(), "") + &entry(("B85003", "B85003-0001"), silent_port, "");
    write(&client.path("both.toml"), &both, 0o644);
    let directory = DirectoryHandle::open(&client.path("both.toml"), clock::now()).unwrap();
    let limits = TransportLimits { per_party: 2, ..TransportLimits::default() };
    let transport = Transport::new(client.tls(), directory, limits);
    let hanging = Route { party: PartyKey::parse("B85003-0001").unwrap(), ..route(silent_port) };
    let mut stuck = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let (transport, hanging) = (transport.clone(), hanging.clone());
        stuck.spawn(async move { transport.post(&hanging, &letter(10), Duration::from_millis(1500)).await });
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    let (there, short) = (route(server.port()), letter(10));
    let quick = tokio::time::timeout(Duration::from_secs(1), transport.post(&there, &short, PATIENCE));
    let answer = quick.await.expect("the other party answers at once");
    assert!(matches!(answer, Observation::Reply(_)), "{answer:?}");
    while let Some(answer) = stuck.join_next().await {
        let answer = answer.unwrap();
        assert!(matches!(answer, Observation::Unreachable { .. }), "the handshake never began: {answer:?}");
    }
    drop(silent);
}

#[tokio::test]
async fn what_broke_when_is_told_apart() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed_port = closed.local_addr().unwrap().port();
    drop(closed);
    let authority = root("one");
    let client = End::new(&leaf(&authority, "prison"), &[&authority]);
    let answer = client
        .transport(closed_port, "", TransportLimits::default())
        .post(&route(closed_port), &letter(10), PATIENCE)
        .await;
    assert!(
        matches!(answer, Observation::Unreachable { .. }),
        "nobody listens (wire §1.5 row 1): {answer:?}"
    );

    let (client, port) = rude(|mut tls| async move {
        read_request(&mut tls, 10).await;
    })
    .await;
    let answer = client
        .transport(port, "", TransportLimits::default())
        .post(&route(port), &letter(10), PATIENCE)
        .await;
    assert!(matches!(answer, Observation::Broken { .. }), "closed after the body (row 3): {answer:?}");

    let (client, port) = rude(|mut tls| async move {
        read_request(&mut tls, 10).await;
        drop(tls.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf").await);
    })
    .await;
    let answer = client
        .transport(port, "", TransportLimits::default())
        .post(&route(port), &letter(10), PATIENCE)
        .await;
    assert!(matches!(answer, Observation::Broken { .. }), "closed within the answer: {answer:?}");

    let (client, port) = rude(|mut tls| async move {
        read_request(&mut tls, 10).await;
        tokio::time::sleep(Duration::from_secs(60)).await;
    })
    .await;
    let limits = TransportLimits { first_byte: Duration::from_millis(300), ..TransportLimits::default() };
    let answer = client.transport(port, "", limits).post(&route(port), &letter(10), PATIENCE).await;
    assert!(matches!(answer, Observation::Broken { .. }), "it took the message and is silent: {answer:?}");
    let answer = client
        .transport(port, "", TransportLimits::default())
        .post(&route(port), &letter(10), Duration::from_millis(300))
        .await;
    assert!(
        matches!(answer, Observation::Broken { .. }),
        "the deadline passed after the body had left: {answer:?}"
    );
}

#[tokio::test]
async fn an_endless_answer_is_cut_off() {
    let (client, port) = rude(|mut tls| async move {
        read_request(&mut tls, 10).await;
        drop(tls.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n").await);
        while tls.write_all(&[b'x'; 65_536]).await.is_ok() {}
    })
    .await;
    let answer = client
        .transport(port, "", TransportLimits::default())
        .post(&route(port), &letter(10), PATIENCE)
        .await;
    assert!(matches!(&answer, Observation::Broken { why } if why.contains("longer")), "{answer:?}");
}

#[tokio::test]
async fn a_redirect_is_reported_and_not_followed() {
    let (client, server) = pair(InboxLimits::default()).await;
    let target = server.port();
    let (rude_client, port) = rude(move |mut tls| async move {
        read_request(&mut tls, 10).await;
        let answer = format!(
            "HTTP/1.1 307 Temporary Redirect\r\nLocation: https://127.0.0.1:{target}/messages\r\n\
             Retry-After: 7\r\nContent-Length: 0\r\n\r\n"
        );
        drop(tls.write_all(answer.as_bytes()).await);
    })
    .await;
    drop(client);
    let transport = rude_client.transport(port, "", TransportLimits::default());
    let answer = transport.post(&route(port), &letter(10), PATIENCE).await;
    let Observation::Reply(reply) = answer else { panic!("{answer:?}") };
    assert_eq!((reply.status, reply.retry_after.as_deref()), (307, Some("7")));
}

#[tokio::test]
async fn a_body_over_the_limit_is_answered_413() {
    let limits = InboxLimits { body_bytes: 100_000, ..InboxLimits::default() };
    let (client, server) = pair(limits).await;
    let transport = client.transport(server.port(), "", TransportLimits::default());
    let answer = transport.post(&route(server.port()), &letter(100_000), PATIENCE).await;
    assert!(matches!(&answer, Observation::Reply(r) if r.status == 200), "just within: {answer:?}");
    let answer = transport.post(&route(server.port()), &letter(300_000), PATIENCE).await;
    assert!(matches!(&answer, Observation::Reply(r) if r.status == 413), "too large (wire §1.4): {answer:?}");
    let answer = transport.post(&route(server.port()), &letter(10), PATIENCE).await;
    assert!(
        matches!(&answer, Observation::Reply(r) if r.status == 200),
        "the next one is served: {answer:?}"
    );
}

/// A client connection to the inbox, for requests no good client would make.
async fn raw(client: &End, server: &Serving) -> tokio_rustls::client::TlsStream<tokio::net::TcpStream> {
    let directory = client.directory(PRACTICE, server.port(), "").current();
    let party = directory.by_party_key(&PartyKey::parse(PRACTICE.1).unwrap()).unwrap().clone();
    let peer = party.peer().unwrap();
    let config: Arc<rustls::ClientConfig> =
        client.tls().client_config(&peer.address.party_key, &peer.tls).unwrap();
    let tcp = tokio::net::TcpStream::connect(server.address).await.unwrap();
    TlsConnector::from(config).connect("localhost".try_into().unwrap(), tcp).await.unwrap()
}

async fn answer_to(client: &End, server: &Serving, request: &[u8]) -> String {
    let mut tls = raw(client, server).await;
    tls.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    // A server that closes without notice still has answered.
    let ended = tokio::time::timeout(PATIENCE, tls.read_to_end(&mut answer)).await;
    assert!(ended.is_ok(), "the server ends the connection after {}", String::from_utf8_lossy(&answer));
    String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn only_posts_to_the_known_path_reach_the_desk() {
    let (client, server) = pair(InboxLimits::default()).await;
    let get = b"GET /messages HTTP/1.1\r\nHost: x\r\n\r\n";
    assert!(answer_to(&client, &server, get).await.contains("405"), "wire §1.1");
    let elsewhere = b"POST /other HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n";
    assert!(answer_to(&client, &server, elsewhere).await.contains("404"));
    let chunked = b"POST /messages HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    assert!(answer_to(&client, &server, chunked).await.contains("200"), "either form is read (wire §1.1)");
    let huge =
        [b"POST /messages HTTP/1.1\r\nHost: x\r\nX: ".as_slice(), &vec![b'a'; 40_000], b"\r\n\r\n"].concat();
    assert!(answer_to(&client, &server, &huge).await.contains("431"), "a header has its limit too");
}

#[tokio::test]
async fn a_slow_or_silent_client_is_let_go() {
    let limits = InboxLimits {
        header: Duration::from_millis(400),
        body_pause: Duration::from_millis(400),
        body: Duration::from_millis(1500),
        handshake: Duration::from_millis(400),
        ..InboxLimits::default()
    };
    let (client, server) = pair(limits).await;

    let stalled = b"POST /messages HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nabc";
    assert!(answer_to(&client, &server, stalled).await.contains("408"), "a body that stops coming");

    let mut tls = raw(&client, &server).await;
    tls.write_all(b"POST /messages HTTP/1.1\r\nHos").await.unwrap();
    let mut answer = Vec::new();
    let ended = tokio::time::timeout(PATIENCE, tls.read_to_end(&mut answer)).await;
    assert!(ended.is_ok(), "a header that stops coming ends the connection");

    let mut tls = raw(&client, &server).await;
    tls.write_all(b"POST /messages HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n").await.unwrap();
    let drip = async {
        loop {
            tokio::time::sleep(Duration::from_millis(100)).await;
            if tls.write_all(b"x").await.is_err() || tls.flush().await.is_err() {
                break;
            }
        }
    };
    let ended = tokio::time::timeout(Duration::from_secs(10), drip).await;
    assert!(ended.is_ok(), "one octet at a time does not hold it open for ever");

    let mut silent = tokio::net::TcpStream::connect(server.address).await.unwrap();
    let mut nothing = [0; 1];
    let ended = tokio::time::timeout(PATIENCE, silent.read(&mut nothing)).await;
    assert!(matches!(ended, Ok(Ok(0) | Err(_))), "a connection that never shakes hands is closed");
}

#[tokio::test]
async fn half_open_connections_do_not_keep_a_good_one_out_for_long() {
    let limits =
        InboxLimits { connections: 4, handshake: Duration::from_millis(500), ..InboxLimits::default() };
    let (client, server) = pair(limits).await;
    let mut open = Vec::new();
    for _ in 0..8 {
        open.push(tokio::net::TcpStream::connect(server.address).await.unwrap());
    }
    let transport = client.transport(server.port(), "", TransportLimits::default());
    let answer = transport.post(&route(server.port()), &letter(10), PATIENCE).await;
    assert!(matches!(answer, Observation::Reply(_)), "served once they have timed out: {answer:?}");
}

#[tokio::test]
async fn a_request_under_way_is_answered_when_the_server_stops() {
    struct Slow;
    impl Desk for Slow {
        async fn take(&self, _: Posted) -> HttpAnswer {
            tokio::time::sleep(Duration::from_millis(500)).await;
            HttpAnswer::empty(202)
        }
    }
    let authority = root("one");
    let end = End::new(&leaf(&authority, "practice"), &[&authority]);
    let server = serve(end.tls(), end.directory(PRISON, 9, ""), Slow, InboxLimits::default()).await;
    let port = server.port();
    let client = End::new(&leaf(&authority, "prison"), &[&authority]);
    let transport = client.transport(port, "", TransportLimits::default());
    let under_way = {
        let transport = transport.clone();
        tokio::spawn(async move { transport.post(&route(port), &letter(10), PATIENCE).await })
    };
    tokio::time::sleep(Duration::from_millis(250)).await;
    drop(server);
    let answer = under_way.await.unwrap();
    assert!(matches!(&answer, Observation::Reply(r) if r.status == 202), "{answer:?}");
    let answer = transport.post(&route(port), &letter(10), PATIENCE).await;
    assert!(matches!(answer, Observation::Unreachable { .. }), "nobody listens any more: {answer:?}");
}
