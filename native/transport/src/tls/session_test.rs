use proptest::prelude::*;

use super::super::testing::{Authority, Pair, authority, client_of, client_plan, plan_of, server_of, tickets};
use super::super::{ClientAuth, ClientTlsPlan, MinVersion, ServerTlsPlan, server_tls};
use super::*;

struct World {
    authority: Authority,
    server: ServerTlsPlan,
    client: ClientTlsPlan,
}

fn world() -> World {
    let authority = authority("root");
    let server = plan_of(&[&authority.issue(&["a.example", "127.0.0.1"])]);
    let client = client_plan(&authority);
    World {
        authority,
        server,
        client,
    }
}

impl World {
    fn pair(&self) -> Pair {
        self.pair_of_steps(usize::MAX)
    }

    fn pair_of_steps(&self, step: usize) -> Pair {
        let client = Session::client(&client_of(&self.client), "a.example").expect("a client");
        Pair::new(client, Session::server(&server_of(&self.server)), step)
    }
}

fn body(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 31 + at / 251) as u8).collect()
}

#[test]
fn a_client_and_a_server_talk_and_close() {
    let mut world = world();
    world.server.alpn = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    world.client.alpn = vec![b"http/1.1".to_vec(), b"h2".to_vec()];
    let mut pair = world.pair();
    assert!(pair.client.handshaking() && pair.server.handshaking());
    assert_eq!(pair.client.write(b"too early"), 0);
    let (of_client, of_server) = pair.settle();
    assert!(
        of_client.is_none() && of_server.is_none(),
        "{of_client:?} {of_server:?}"
    );
    assert!(!pair.client.handshaking() && !pair.server.handshaking());
    assert_eq!(pair.server.alpn(), Some(&b"h2"[..]));
    assert_eq!(pair.client.alpn(), Some(&b"h2"[..]));
    assert_eq!(pair.up(b"GET / HTTP/1.1\r\n\r\n"), b"GET / HTTP/1.1\r\n\r\n");
    assert_eq!(pair.down(b"HTTP/1.1 200 OK\r\n\r\n"), b"HTTP/1.1 200 OK\r\n\r\n");

    let facts = pair.server.facts();
    assert_eq!(facts.version, "TLSv1.3");
    assert_eq!(facts.group, "X25519MLKEM768");
    assert!(facts.cipher.starts_with("TLS_"), "{}", facts.cipher);
    assert_eq!(facts.server_name.as_deref(), Some("a.example"));
    assert_eq!(facts.client, None);
    assert!(facts.ja4.starts_with("t13d"), "{}", facts.ja4);
    assert_eq!(&facts.ja4[8..10], "h1");
    assert!(!facts.resumed);
    assert_eq!(pair.client.facts().client, None);

    let mut room = [0; 10];
    assert_eq!(
        pair.server.read(&mut room).expect_err("nothing to read").kind(),
        io::ErrorKind::WouldBlock
    );
    pair.client.close();
    pair.client.close();
    assert_eq!(pair.client.write(b"too late"), 0);
    pair.settle();
    assert_eq!(pair.server.read(&mut room).expect("an end"), 0);
    assert!(pair.server.closed_cleanly());
    // The other direction stays open until it is closed too (RFC 8446 §6.1).
    assert_eq!(pair.down(b"last words"), b"last words");
    pair.server.close();
    pair.settle();
    assert!(pair.client.closed_cleanly());
}

#[test]
fn an_end_of_stream_without_close_notify_is_told_from_a_clean_one() {
    let mut pair = world().pair();
    pair.settle();
    pair.to_server.ended = true;
    assert_eq!(pair.server.receive(&mut pair.to_server).expect("an end"), 0);
    assert_eq!(pair.server.read(&mut [0; 10]).expect("an end"), 0);
    assert!(!pair.server.closed_cleanly());
}

#[test]
fn bodies_pass_in_both_directions() {
    let mut pair = world().pair();
    pair.settle();
    let all = body(700_001);
    assert!(pair.up(&all) == all);
    assert!(pair.down(&all) == all);
    assert_eq!((pair.server.pending(), pair.client.pending()), (0, 0));
}

#[test]
fn everything_arrives_in_pieces_of_any_size() {
    let world = world();
    for step in [1, 2, 5, 6, 100, 1000, 16_385] {
        let mut pair = world.pair_of_steps(step);
        assert!(pair.settle().1.is_none());
        let all = body(40_000);
        assert!(pair.up(&all) == all, "step {step}");
        assert!(pair.down(&all) == all, "step {step}");
    }
}

#[test]
fn a_writer_is_held_back_at_its_bound_and_goes_on() {
    let mut pair = world().pair();
    pair.settle();
    let all = body(300_000);
    let mut taken = 0;
    loop {
        let n = pair.server.write(&all[taken..]);
        if n == 0 {
            break;
        }
        taken += n;
    }
    assert!(
        (OUTGOING_BYTES_MAX - WRITE_BYTES_MIN..=OUTGOING_BYTES_MAX).contains(&taken),
        "{taken}"
    );
    assert!(pair.server.pending() >= taken && pair.server.pending() < OUTGOING_BYTES_MAX + 1000);
    let mut room = vec![0; 70_000];
    pair.settle();
    let mut got = 0;
    while let Ok(n) = pair.client.read(&mut room[got..]) {
        got += n;
    }
    assert!(room[..got] == all[..taken]);
    assert!(pair.server.write(&all[taken..]) > 0);
}

#[test]
fn a_reader_is_held_back_until_what_waits_was_read() {
    let mut pair = world().pair();
    pair.settle();
    let all = body(400_000);
    let mut sent = 0;
    let mut got = Vec::new();
    let mut room = vec![0; 64 * 1024];
    let mut held_back = 0;
    while got.len() < all.len() {
        sent += pair.client.write(&all[sent..]);
        pair.settle();
        assert!(pair.server.readable().len() <= PLAIN_BYTES_MAX + READ_BYTES + CARRIED_BYTES_MAX);
        if sent < all.len() && pair.client.pending() == 0 && pair.server.readable().len() < PLAIN_BYTES_MAX {
            continue;
        }
        held_back += 1;
        let n = pair.server.read(&mut room).expect("plaintext");
        got.extend_from_slice(&room[..n]);
    }
    assert!(got == all);
    assert!(held_back >= all.len() / room.len());
}

#[test]
fn plaintext_can_be_taken_in_place() {
    let mut pair = world().pair();
    pair.settle();
    pair.client.write(b"hello world");
    pair.settle();
    assert_eq!(pair.server.readable(), b"hello world");
    pair.server.consume(6);
    assert_eq!(pair.server.readable(), b"world");
}

/// A client of TLS 1.2, which our own client is not where 1.3 is spoken.
fn tls12_client(world: &World) -> rustls::ClientConnection {
    rustls_client(world, &rustls::version::TLS12)
}

/// A client that is not ours: rustls directly, through its buffered interface.
fn rustls_client(world: &World, version: &'static rustls::SupportedProtocolVersion) -> rustls::ClientConnection {
    client_of_provider(world, super::super::provider(), version)
}

/// The same with these suites, in this order.
fn client_with(
    world: &World,
    suites: Vec<rustls::SupportedCipherSuite>,
    version: &'static rustls::SupportedProtocolVersion,
) -> rustls::ClientConnection {
    let mut provider = rustls::crypto::CryptoProvider::clone(&super::super::provider());
    provider.cipher_suites = suites;
    client_of_provider(world, provider.into(), version)
}

fn client_of_provider(
    world: &World,
    provider: Arc<rustls::crypto::CryptoProvider>,
    version: &'static rustls::SupportedProtocolVersion,
) -> rustls::ClientConnection {
    let roots = super::super::server::roots(world.authority.pem.as_bytes(), "test").expect("roots");
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    rustls::ClientConnection::new(config.into(), "a.example".try_into().expect("a name")).expect("a client")
}

fn settle_with(client: &mut rustls::ClientConnection, server: &mut Session) -> Result<(), (rustls::Error, io::Error)> {
    let mut failure = None;
    for _ in 0..20 {
        let mut up = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut up).expect("a write to memory");
        }
        let mut up = up.as_slice();
        while !up.is_empty() {
            if let Err(error) = server.receive(&mut up) {
                failure = Some(error);
                break;
            }
        }
        let mut down = Vec::new();
        while server.wants_send() {
            server.send(&mut down).expect("a write to memory");
        }
        let mut down = down.as_slice();
        while !down.is_empty() {
            client.read_tls(&mut down).expect("a read from memory");
            if let Err(error) = client.process_new_packets() {
                return Err((error, failure.expect("an error of the server")));
            }
        }
    }
    Ok(())
}

#[test]
fn tls_1_2_is_served_unless_the_minimum_is_1_3() {
    let mut world = world();
    let mut server = Session::server(&server_of(&world.server));
    let mut client = tls12_client(&world);
    settle_with(&mut client, &mut server).expect("a handshake");
    assert_eq!(server.facts().version, "TLSv1.2");
    client.writer().write_all(b"hello").expect("a write");
    settle_with(&mut client, &mut server).expect("data");
    assert_eq!(server.readable(), b"hello");
    // More than that, rustls' buffered interface would not hold.
    let all = body(16_000);
    assert_eq!(server.write(&all), all.len());
    settle_with(&mut client, &mut server).expect("data");
    let mut got = vec![0; 16_000];
    client.reader().read_exact(&mut got).expect("the body");
    assert!(got == all);

    world.server.min_version = MinVersion::Tls13;
    let mut server = Session::server(&server_of(&world.server));
    let (of_client, of_server) = settle_with(&mut tls12_client(&world), &mut server).expect_err("no common version");
    assert_eq!(
        of_client,
        rustls::Error::AlertReceived(rustls::AlertDescription::ProtocolVersion)
    );
    assert_eq!(of_server.kind(), io::ErrorKind::InvalidData);
}

#[test]
fn keys_are_changed_when_the_client_asks() {
    let world = world();
    let mut server = Session::server(&server_of(&world.server));
    let mut client = rustls_client(&world, &rustls::version::TLS13);
    settle_with(&mut client, &mut server).expect("a handshake");
    for round in 0..5 {
        client.refresh_traffic_keys().expect("new keys");
        let text = format!("round {round}");
        client.writer().write_all(text.as_bytes()).expect("a write");
        settle_with(&mut client, &mut server).expect("data");
        assert_eq!(server.readable(), text.as_bytes());
        server.consume(text.len());
        assert_eq!(server.write(text.as_bytes()), text.len());
        settle_with(&mut client, &mut server).expect("data");
        let mut got = vec![0; text.len()];
        client.reader().read_exact(&mut got).expect("an answer");
        assert_eq!(got, text.as_bytes());
    }
}

#[test]
fn a_failed_handshake_sends_the_alert_that_says_why() {
    let mut unknown_protocol = world();
    unknown_protocol.server.alpn = vec![b"h2".to_vec()];
    unknown_protocol.client.alpn = vec![b"gopher".to_vec()];
    let mut no_certificate = world();
    no_certificate.server.client_auth = ClientAuth::Required {
        ca_pem: no_certificate.authority.pem.clone().into_bytes(),
    };
    let mut strange_certificate = world();
    strange_certificate.server.client_auth = no_certificate.server.client_auth.clone();
    let stranger = authority("another").issue_person("mallory");
    strange_certificate.client.identity = Some((stranger.chain_pem, stranger.key_pem));
    for (world, alert) in [
        (unknown_protocol, "NoApplicationProtocol"),
        (no_certificate, "CertificateRequired"),
        (strange_certificate, "UnknownCA"),
    ] {
        let mut pair = world.pair();
        let (of_client, of_server) = pair.settle();
        let of_client = of_client.expect("the client is told").to_string();
        assert!(of_client.contains(alert), "{alert}: {of_client}");
        assert_eq!(of_server.expect("the server fails").kind(), io::ErrorKind::InvalidData);
        assert!(pair.server.failure().is_some());
        assert!(!pair.server.handshaking());
        assert_eq!(pair.server.write(b"x"), 0);
        assert!(pair.server.receive(&mut pair.to_server).is_err());
        assert!(pair.server.read(&mut [0; 1]).is_err());
    }
}

#[test]
fn a_server_of_an_unknown_authority_or_another_name_is_refused_by_the_client() {
    let world = world();
    let other = client_of(&client_plan(&authority("another")));
    let mut pair = Pair::new(
        Session::client(&other, "a.example").expect("a client"),
        Session::server(&server_of(&world.server)),
        usize::MAX,
    );
    let (of_client, of_server) = pair.settle();
    assert!(of_client.expect("refused").to_string().contains("UnknownIssuer"));
    assert!(of_server.expect("told").to_string().contains("UnknownCA"));

    let client = client_of(&world.client);
    let mut pair = Pair::new(
        Session::client(&client, "b.example").expect("a client"),
        Session::server(&server_of(&world.server)),
        usize::MAX,
    );
    assert!(
        pair.settle()
            .0
            .expect("refused")
            .to_string()
            .contains("not valid for name")
    );

    // An address is a name too, and is not sent as SNI.
    for name in ["127.0.0.1", "A.Example."] {
        let mut pair = Pair::new(
            Session::client(&client, name).expect("a client"),
            Session::server(&server_of(&world.server)),
            usize::MAX,
        );
        assert!(pair.settle().0.is_none());
        assert_eq!(
            pair.server.facts().server_name.as_deref(),
            (name != "127.0.0.1").then_some("a.example")
        );
    }
    let error = Session::client(&client, "no name").err().expect("no name").to_string();
    assert!(error.starts_with("upstream server name: \"no name\""), "{error}");
}

#[test]
fn bytes_that_are_no_tls_are_refused_at_once_with_an_alert() {
    let world = world();
    let tls = server_of(&world.server);
    for (bytes, alert, why) in [
        (&b"GET / HTTP/1.1\r\n\r\n"[..], 10, "plain HTTP"),
        (b"\x00\x01", 10, "not TLS"),
        (b"\x16\x03\x01\xff\xff\x01", 50, "length"),
        (b"\x16\x03\x01\x00\x10\x02", 50, "not a ClientHello"),
    ] {
        let mut session = Session::server(&tls);
        let error = session.receive(&mut &*bytes).expect_err("refused");
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert!(error.to_string().contains(why), "{error}");
        let mut sent = Vec::new();
        session.send(&mut sent).expect("a write to memory");
        assert_eq!(sent, [21, 3, 3, 0, 2, 2, alert]);
        assert!(!session.handshaking());
    }
}

#[test]
fn client_certificates_are_told_with_subject_names_and_fingerprint() {
    let mut world = world();
    let ca_pem = world.authority.pem.clone().into_bytes();
    let alice = world.authority.issue_person("alice");
    let der = super::super::pem::certificates(&alice.chain_pem, "test").expect("a certificate")[0].to_vec();
    for auth in [
        ClientAuth::Optional { ca_pem: ca_pem.clone() },
        ClientAuth::Required { ca_pem },
    ] {
        world.server.client_auth = auth.clone();
        world.client.identity = Some((alice.chain_pem.clone(), alice.key_pem.clone()));
        let mut pair = world.pair();
        assert!(pair.settle().1.is_none());
        let client = pair.server.facts().client.expect("a client certificate");
        assert_eq!(client.subject, "O=Example,CN=alice");
        assert_eq!(client.sans, ["URI:spiffe://example/alice"]);
        assert_eq!(client.der, der);
        assert_eq!(client.fingerprint().len(), 64);
        world.client.identity = None;
        let mut pair = world.pair();
        assert_eq!(pair.settle().1.is_none(), matches!(auth, ClientAuth::Optional { .. }));
    }
}

#[test]
fn a_ticket_of_one_lane_is_resumed_by_another_with_the_same_identity() {
    let mut world = world();
    world.server.client_auth = ClientAuth::Required {
        ca_pem: world.authority.pem.clone().into_bytes(),
    };
    let alice = world.authority.issue_person("alice");
    world.client.identity = Some((alice.chain_pem, alice.key_pem));
    let keys = tickets();
    keys.rotate(0);
    let client = client_of(&world.client);
    let connect = |plan: &ServerTlsPlan, keys| {
        let server = server_tls(plan, keys).expect("TLS");
        let mut pair = Pair::new(
            Session::client(&client, "a.example").expect("a client"),
            Session::server(&server),
            usize::MAX,
        );
        let (of_client, of_server) = pair.settle();
        assert!(
            of_client.is_none() && of_server.is_none(),
            "{of_client:?} {of_server:?}"
        );
        pair.server.facts()
    };
    assert!(!connect(&world.server, keys.clone()).resumed);
    let facts = connect(&world.server, keys.clone());
    assert!(facts.resumed);
    assert_eq!(facts.client.expect("an identity").subject, "O=Example,CN=alice");
    // Through one rotation, not through two.
    assert!(keys.rotate(3600));
    assert!(connect(&world.server, keys.clone()).resumed);
    // What was made for a listener without client certificates is nothing for one that requires them.
    let mut open = world.server.clone();
    open.client_auth = ClientAuth::Off;
    for _ in 0..8 {
        connect(&open, keys.clone());
    }
    assert!(connect(&open, keys.clone()).resumed);
    let facts = connect(&world.server, keys.clone());
    assert!(!facts.resumed);
    assert!(facts.client.is_some());
}

#[test]
fn a_reload_is_for_new_sessions_and_leaves_old_ones_alone() {
    let world = world();
    let mut old = world.pair();
    old.settle();
    let renewed = plan_of(&[&world.authority.issue(&["a.example", "b.example"])]);
    let client = client_of(&world.client);
    let mut new = Pair::new(
        Session::client(&client, "b.example").expect("a client"),
        Session::server(&server_of(&renewed)),
        usize::MAX,
    );
    assert!(new.settle().0.is_none());
    assert_eq!(old.up(b"still here"), b"still here");
}

#[test]
fn aes_128_comes_first_unless_the_client_puts_chacha20_first() {
    use rustls::crypto::aws_lc_rs::cipher_suite;
    let world = world();
    let [aes_256, aes_128, chacha] = [
        cipher_suite::TLS13_AES_256_GCM_SHA384,
        cipher_suite::TLS13_AES_128_GCM_SHA256,
        cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
    ];
    for (offered, chosen) in [
        (vec![aes_256, chacha, aes_128], "TLS_AES_128_GCM_SHA256"),
        (vec![aes_256, chacha], "TLS_AES_256_GCM_SHA384"),
        (vec![chacha, aes_256, aes_128], "TLS_CHACHA20_POLY1305_SHA256"),
    ] {
        let mut server = Session::server(&server_of(&world.server));
        settle_with(&mut client_with(&world, offered, &rustls::version::TLS13), &mut server).expect("a handshake");
        assert_eq!(server.facts().cipher, chosen);
    }
    let old = [
        (
            vec![
                cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
                cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
            ],
            "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        ),
        (
            vec![
                cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
                cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
            ],
            "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        ),
    ];
    for (offered, chosen) in old {
        let mut server = Session::server(&server_of(&world.server));
        settle_with(&mut client_with(&world, offered, &rustls::version::TLS12), &mut server).expect("a handshake");
        assert_eq!(server.facts().cipher, chosen);
    }
}

#[test]
fn named_suites_are_used_in_their_order() {
    let mut world = world();
    world.server.cipher_suites = vec![
        "TLS_CHACHA20_POLY1305_SHA256".to_owned(),
        "TLS_AES_128_GCM_SHA256".to_owned(),
    ];
    let mut pair = world.pair();
    pair.settle();
    assert_eq!(pair.server.facts().cipher, "TLS_CHACHA20_POLY1305_SHA256");
    // TLS 1.2 keeps its own.
    let mut server = Session::server(&server_of(&world.server));
    settle_with(&mut tls12_client(&world), &mut server).expect("a handshake");
    assert!(
        server.facts().cipher.starts_with("TLS_ECDHE_ECDSA_"),
        "{}",
        server.facts().cipher
    );

    for (names, what) in [
        (&["TLS_NULL"][..], "\"TLS_NULL\" is not known; use some of"),
        (&["TLS_AES_128_GCM_SHA256"; 2], "occurs twice"),
    ] {
        world.server.cipher_suites = names.iter().map(ToString::to_string).collect();
        let error = server_tls(&world.server, tickets()).expect_err("refused").to_string();
        assert!(error.contains(what), "{error}");
    }
}

#[test]
fn an_idle_session_holds_no_buffers() {
    let mut pair = world().pair();
    pair.settle();
    pair.up(&body(100_000));
    pair.down(&body(100_000));
    for session in [&pair.client, &pair.server] {
        assert!(session.carried.is_empty() && session.plain.is_empty() && session.outgoing.is_empty());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever happens to one byte of the client's stream: an error or an answer, never a panic, never other plaintext.
    #[test]
    fn a_changed_byte_never_changes_plaintext(at in 0usize..3000, flip in 1u8.., step in 1usize..2000) {
        let mut pair = WORLD.with(World::pair);
        let mut pipe = Vec::new();
        pair.client.send(&mut pipe).expect("a write to memory");
        if let Some(byte) = pipe.get_mut(at) {
            *byte ^= flip;
        }
        pair.to_server.bytes = pipe;
        pair.to_server.step = step;
        let (_, of_server) = pair.settle();
        if of_server.is_none() && !pair.server.handshaking() && !pair.client.handshaking() {
            pair.client.write(b"hello");
            pair.settle();
            prop_assert!(matches!(pair.server.readable(), b"hello" | b""));
        }
    }
}

thread_local! {
    static WORLD: World = world();
}
