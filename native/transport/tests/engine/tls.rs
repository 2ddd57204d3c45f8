//! TLS on either side of the engine, with certificates made here.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use cnx_transport::engine::options::{Cidr, ShedPlan};
use cnx_transport::tls::{
    CertificatePlan, ClientTls, ClientTlsPlan, ServerTls, ServerTlsPlan, Session, TicketKeys, client_tls, server_tls,
};

use crate::driver::Plan;
use crate::kept::{LONG, bytes, keeping};
use crate::peers::{obedient, upstream};

fn both() -> (ServerTls, ClientTls) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let server = ServerTlsPlan {
        certificates: vec![CertificatePlan {
            chain_pem: made.cert.pem().into_bytes(),
            key_pem: made.signing_key.serialize_pem().into_bytes(),
            ..CertificatePlan::default()
        }],
        ..ServerTlsPlan::default()
    };
    let client = ClientTlsPlan {
        ca_pem: Some(made.cert.pem().into_bytes()),
        ..ClientTlsPlan::default()
    };
    let tickets: Arc<TicketKeys> = TicketKeys::new(3600).unwrap();
    (server_tls(&server, tickets).unwrap(), client_tls(&client).unwrap())
}

/// A session over a blocking socket.
struct Secure {
    session: Session,
    stream: TcpStream,
}

impl Secure {
    fn client(port: u16, tls: &ClientTls, before: &[u8]) -> Secure {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(crate::driver::PATIENCE)).unwrap();
        stream.set_write_timeout(Some(crate::driver::PATIENCE)).unwrap();
        let mut session = Session::client(tls, "localhost").unwrap();
        // The header and the first flight arrive as one.
        let mut first = before.to_vec();
        while session.wants_send() {
            session.send(&mut first).unwrap();
        }
        stream.write_all(&first).unwrap();
        Secure { session, stream }
    }

    fn flush(&mut self) -> bool {
        while self.session.wants_send() {
            if self.session.send(&mut self.stream).is_err() {
                return false;
            }
        }
        true
    }

    fn send(&mut self, mut bytes: &[u8]) -> bool {
        while self.session.handshaking() {
            if !self.flush() || !matches!(self.session.receive(&mut self.stream), Ok(1..)) {
                return false;
            }
        }
        while !bytes.is_empty() {
            let n = self.session.write(bytes);
            bytes = &bytes[n..];
            if !self.flush() {
                return false;
            }
        }
        self.flush()
    }

    /// As many bytes, or those before the end.
    fn read(&mut self, n: usize) -> Vec<u8> {
        let mut out = Vec::new();
        let mut room = vec![0; 64 * 1024];
        while out.len() < n {
            let want = room.len().min(n - out.len());
            match self.session.read(&mut room[..want]) {
                Ok(0) => break,
                Ok(n) => out.extend_from_slice(&room[..n]),
                Err(_) => {
                    if !self.flush() || !matches!(self.session.receive(&mut self.stream), Ok(1..)) {
                        break;
                    }
                }
            }
        }
        out
    }

    fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let byte = self.read(1);
            if byte.is_empty() {
                break;
            }
            head.extend(byte);
        }
        String::from_utf8_lossy(&head).into_owned()
    }
}

#[test]
fn a_short_answer_is_one_record() {
    let (server, client) = both();
    // Head and body at once, as long as the path says.
    let upstream = upstream(|mut wire, _| {
        while let Some(request) = wire.request() {
            let path = request.path();
            let n: usize = path.rsplit('/').next().unwrap().parse().unwrap();
            let body = "x".repeat(n);
            wire.send(if path.contains("chunked") {
                format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{n:x}\r\n{body}\r\n1\r\ny\r\n0\r\n\r\n")
            } else {
                format!("HTTP/1.1 200 OK\r\nContent-Length: {n}\r\n\r\n{body}")
            });
        }
    });
    let mut plan = Plan::to(&[upstream.address]);
    plan.listen.tls = Some(server);
    let lane = plan.start();
    let mut secure = Secure::client(lane.port, &client, b"");
    let ask = |secure: &mut Secure, path: &str| {
        assert!(secure.send(format!("GET /f0/{path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()));
    };
    // The tickets come with the first answer.
    ask(&mut secure, "2");
    assert!(secure.head().starts_with("HTTP/1.1 200"));
    secure.read(2);
    for (path, end) in [
        ("1000", format!("\r\n\r\n{}", "x".repeat(1000))),
        ("8000", format!("\r\n\r\n{}", "x".repeat(8000))),
        (
            "chunked/1000",
            format!("3e8\r\n{}\r\n1\r\ny\r\n0\r\n\r\n", "x".repeat(1000)),
        ),
    ] {
        ask(&mut secure, path);
        let mut record = vec![0; 5];
        secure.stream.read_exact(&mut record).unwrap();
        let length = usize::from(u16::from_be_bytes([record[3], record[4]]));
        record.resize(5 + length, 0);
        secure.stream.read_exact(&mut record[5..]).unwrap();
        secure.session.receive(&mut record.as_slice()).unwrap();
        let mut answer = vec![0; 16_000];
        let got = secure.session.read(&mut answer).unwrap();
        assert!(answer[..got].starts_with(b"HTTP/1.1 200"));
        assert!(
            answer[..got].ends_with(end.as_bytes()),
            "{path}: {got} bytes in the first record"
        );
    }
    drop(secure);
    lane.end();
}

#[test]
fn tls_clients_are_served_as_plain_ones() {
    let upstream = obedient();
    let (server, client) = both();
    let mut plan = Plan::to(&[upstream.address]);
    plan.listen.tls = Some(server);
    let lane = plan.start();
    let mut secure = Secure::client(lane.port, &client, b"");
    // More in one go than one read of the engine takes, behind a body that waits for its upstream.
    let mut all = format!(
        "POST /w/echo HTTP/1.1\r\nHost: a\r\nContent-Length: 400000\r\n\r\n{}",
        "b".repeat(400_000)
    );
    for _ in 0..10 {
        all += "GET /w/len/5 HTTP/1.1\r\nHost: a\r\n\r\nPOST /r2 HTTP/1.1\r\nHost: a\r\nContent-Length: 70000\r\n\r\n";
        all += &"c".repeat(70_000);
    }
    // A blocking session cannot write and read at once: all of it fits what the engine and the sockets hold, or is answered as it comes.
    for piece in all.as_bytes().chunks(20_000) {
        assert!(secure.send(piece));
    }
    assert!(secure.head().starts_with("HTTP/1.1 200"));
    assert_eq!(secure.read(400_000).len(), 400_000);
    for _ in 0..10 {
        assert!(secure.head().starts_with("HTTP/1.1 200"));
        assert_eq!(secure.read(5), b"xxxxx");
        assert!(secure.head().starts_with("HTTP/1.1 403"));
        assert_eq!(secure.read(9), b"refused .");
    }
    // One that leaves while its upstream says nothing.
    assert!(secure.send(b"GET /f0/never HTTP/1.1\r\nHost: a\r\n\r\n"));
    assert!(lane.until_seen(|seen| seen.begun == 22));
    drop(secure);
    lane.end();
}

#[test]
fn a_proxy_header_may_stand_before_tls() {
    let (server, client) = both();
    let mut plan = Plan::to(&[]);
    plan.listen.tls = Some(server);
    plan.listen.proxy_from = vec![Cidr {
        address: "127.0.0.1".parse().unwrap(),
        bits: 8,
    }];
    let lane = plan.start();
    let mut secure = Secure::client(lane.port, &client, b"PROXY TCP4 10.0.0.9 10.0.1.1 1000 443\r\n");
    assert!(secure.send(b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n"));
    assert!(secure.head().starts_with("HTTP/1.1 200"));
    drop(secure);
    assert_eq!(lane.end().lock().unwrap().peers, [[10, 0, 0, 9]]);
}

#[test]
fn what_is_not_tls_ends_without_a_request() {
    let (server, _) = both();
    let mut plan = Plan::to(&[]);
    plan.listen.tls = Some(server);
    plan.options.handshake_ms = 200;
    let lane = plan.start();
    for text in ["GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01\x02", ""] {
        let mut stream = TcpStream::connect(("127.0.0.1", lane.port)).unwrap();
        stream.set_read_timeout(Some(crate::driver::PATIENCE)).unwrap();
        stream.write_all(text.as_bytes()).unwrap();
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
        assert!(rest.len() < 16, "{text}: an alert at most");
    }
    assert_eq!(lane.end().lock().unwrap().begun, 0);
}

#[test]
fn upstreams_are_reached_by_tls_and_their_names_are_checked() {
    let (server, client) = both();
    let upstream = upstream(move |wire, _| {
        let mut secure = Secure {
            session: Session::server(&server),
            stream: wire.stream,
        };
        if !secure.send(b"") {
            return;
        }
        loop {
            let head = secure.head();
            if head.is_empty() {
                return;
            }
            let length = if head.starts_with("POST") { 300_000 } else { 0 };
            let body = secure.read(length);
            secure.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len() + 2).as_bytes());
            secure.send(&body);
            secure.send(b"ok");
        }
    });
    let mut plan = Plan::to(&[upstream.address, upstream.address]);
    plan.endpoints[0].0.tls = Some((client.clone(), "localhost".to_owned()));
    plan.endpoints[1].0.tls = Some((client, "elsewhere".to_owned()));
    let lane = plan.start();
    let mut wire = crate::peers::Wire::to(lane.port);
    for _ in 0..3 {
        wire.send("GET /f0/ HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(wire.answer().unwrap().body, b"ok");
        wire.send("POST /f0/ HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n\r\n")
            .send("p".repeat(300_000));
        assert_eq!(wire.answer().unwrap().body.len(), 300_002);
    }
    wire.send("GET /f1/ HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(wire.answer().unwrap().status(), 502);
    drop(wire);
    lane.end();
}

#[test]
fn an_answer_that_ends_with_its_connection_ends_with_the_goodbye_of_tls() {
    let (server, client) = both();
    let upstream = upstream(move |wire, _| {
        let mut secure = Secure {
            session: Session::server(&server),
            stream: wire.stream,
        };
        secure.send(b"");
        let whole = secure.head().contains("/whole");
        secure.send(b"HTTP/1.1 200 OK\r\n\r\nhalf or whole");
        if whole {
            secure.session.close();
            secure.flush();
        }
    });
    let mut plan = Plan::to(&[upstream.address]);
    plan.endpoints[0].0.tls = Some((client, "localhost".to_owned()));
    let lane = plan.start();
    for (path, whole) in [
        ("/f0/whole", true),
        ("/f0/cut", false),
        ("/j1000/whole", true),
        ("/j1000/cut", false),
    ] {
        let mut wire = crate::peers::Wire::to(lane.port);
        let answer = wire.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")).answer();
        let answer = answer.filter(|answer| answer.status() == 200 && answer.whole);
        assert_eq!(answer.is_some(), whole, "{path}");
    }
    let seen = lane.end();
    // What looks whole would be stored, and answer others (RFC 9112 §9.8).
    assert_eq!(seen.lock().unwrap().answers, [(0, b"half or whole".to_vec())]);
}

#[test]
fn a_kept_body_goes_through_tls_behind_what_waits_and_before_what_follows() {
    let upstream = obedient();
    let (server, client) = both();
    let mut plan = Plan::to(&[upstream.address]);
    plan.listen.tls = Some(server);
    let lane = keeping(plan, LONG);
    let mut secure = Secure::client(lane.port, &client, b"");
    assert!(secure.send(
        b"GET /y1 HTTP/1.1\r\nHost: a\r\n\r\nGET /y1 HTTP/1.1\r\nHost: a\r\n\r\nGET /a HTTP/1.1\r\nHost: a\r\n\r\n"
    ));
    for _ in 0..2 {
        assert!(secure.head().starts_with("HTTP/1.1 200"));
        assert!(secure.read(LONG - 1) == bytes(LONG)[1..]);
    }
    assert!(secure.head().starts_with("HTTP/1.1 200"));
    assert_eq!(secure.read(3), b"own");
    drop(secure);
    lane.end();
}

#[test]
fn the_first_request_is_turned_away_as_any_other_though_tickets_wait() {
    let upstream = obedient();
    let (server, client) = both();
    let mut plan = Plan::to(&[upstream.address]);
    plan.listen.tls = Some(server);
    plan.options.shed = Some(ShedPlan {
        row: 2,
        retry_after_s: 7,
        id_prefix: String::new(),
    });
    let lane = plan.start();
    lane.run(|engine| engine.set_shed(1.0));
    let mut secure = Secure::client(lane.port, &client, b"");
    for _ in 0..2 {
        assert!(secure.send(b"HEAD /a HTTP/1.1\r\nHost: a\r\n\r\n"));
        let head = secure.head();
        assert!(head.starts_with("HTTP/1.1 403"), "{head}");
    }
    drop(secure);
    lane.end();
}

#[test]
fn a_part_of_a_head_behind_the_handshake_holds_up_no_end() {
    let upstream = obedient();
    let (server, client) = both();
    let mut plan = Plan::to(&[upstream.address]);
    plan.listen.tls = Some(server);
    let lane = plan.start();
    let mut secure = Secure::client(lane.port, &client, b"");
    assert!(secure.send(b"GET /a HT"));
    // The tickets.
    assert!(matches!(secure.session.receive(&mut secure.stream), Ok(1..)));
    lane.run(|engine| engine.drain());
    assert!(lane.until(|lane| lane.run(|engine| engine.leaving()) == 0));
    assert!(secure.send(b"TP/1.1\r\nHost: a\r\n\r\n"));
    assert!(secure.head().starts_with("HTTP/1.1 200"));
    drop(secure);
    lane.end();
}
