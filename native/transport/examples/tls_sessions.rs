//! What TLS sessions cost, in one process without sockets: memory of an idle session, handshakes and resumptions per second, and bytes per second.
//!
//!     cargo run --release -p cnx-transport --example tls_sessions [sessions]

use std::io::{self, Read, Write};
use std::time::Instant;

use cnx_transport::tls::{
    CertificatePlan, ClientTls, ClientTlsPlan, ServerTls, ServerTlsPlan, Session, TicketKeys, client_tls, server_tls,
};

/// A pipe in memory that gives back its storage by index, so that it costs little itself.
#[derive(Default)]
struct Pipe {
    bytes: Vec<u8>,
    from: usize,
}

impl Read for Pipe {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let rest = &self.bytes[self.from..];
        if rest.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let n = rest.len().min(out.len());
        out[..n].copy_from_slice(&rest[..n]);
        self.from += n;
        if self.from == self.bytes.len() {
            self.bytes.clear();
            self.from = 0;
        }
        Ok(n)
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Sends what `from` has to `to`; false when there was nothing.
fn pass(from: &mut Session, to: &mut Session, pipe: &mut Pipe) -> bool {
    if !from.wants_send() {
        return false;
    }
    while from.wants_send() {
        from.send(pipe).expect("memory");
    }
    while to.receive(pipe).is_ok() {}
    true
}

fn settle(client: &mut Session, server: &mut Session, pipe: &mut Pipe) {
    while pass(client, server, pipe) | pass(server, client, pipe) {}
    assert!(
        !client.handshaking() && !server.handshaking(),
        "{:?} {:?}",
        client.failure(),
        server.failure()
    );
}

fn connect(client: &ClientTls, server: &ServerTls, pipe: &mut Pipe) -> (Session, Session) {
    let mut client = Session::client(client, "a.example").expect("a client");
    let mut server = Session::server(server);
    settle(&mut client, &mut server, pipe);
    (client, server)
}

fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("VmRSS");
    let kibibytes: usize = line
        .split_whitespace()
        .nth(1)
        .and_then(|n| n.parse().ok())
        .expect("a number");
    kibibytes * 1024
}

fn main() {
    let count: usize = std::env::args()
        .nth(1)
        .map_or(10_000, |n| n.parse().expect("a number of sessions"));
    let key = rcgen::KeyPair::generate().expect("a key");
    let params = rcgen::CertificateParams::new(vec!["a.example".to_owned()]).expect("parameters");
    let certificate = params.self_signed(&key).expect("a certificate");
    let plan = ServerTlsPlan {
        certificates: vec![CertificatePlan {
            chain_pem: certificate.pem().into_bytes(),
            key_pem: key.serialize_pem().into_bytes(),
            ..CertificatePlan::default()
        }],
        ..ServerTlsPlan::default()
    };
    let server = server_tls(&plan, TicketKeys::new(3600).expect("keys")).expect("a server");
    let client_plan = ClientTlsPlan {
        ca_pem: Some(certificate.pem().into_bytes()),
        ..ClientTlsPlan::default()
    };
    let client = client_tls(&client_plan).expect("a client");
    let mut pipe = Pipe::default();
    let mut room = vec![0; 64 * 1024];

    // Idle sessions that have each served a request of 600 bytes with an answer of 1 KiB.
    drop(connect(&client, &server, &mut pipe));
    let before = resident_bytes();
    let mut idle = Vec::with_capacity(count);
    let mut server_ns = 0;
    let begun = Instant::now();
    for _ in 0..count {
        let (mut one, mut other) = connect(&client, &server, &mut pipe);
        assert_eq!(one.write(&[1; 600]), 600);
        settle(&mut one, &mut other, &mut pipe);
        assert_eq!(other.read(&mut room).expect("a request"), 600);
        assert_eq!(other.write(&[2; 1024]), 1024);
        settle(&mut one, &mut other, &mut pipe);
        idle.push(other);
    }
    let took = begun.elapsed();
    let each = resident_bytes().saturating_sub(before) / count;
    println!(
        "idle server sessions: {count}, {each} bytes each (and {} in the struct)",
        std::mem::size_of::<Session>()
    );
    println!(
        "both sides of a handshake, mostly resumed: {:.0} us",
        took.as_secs_f64() * 1e6 / count as f64
    );
    drop(idle);

    // The server's share of full and of resumed handshakes.
    let rounds = 2000;
    for resumed in [false, true] {
        server_ns = 0;
        let mut were_resumed = 0;
        for _ in 0..rounds {
            let fresh;
            let client = if resumed {
                &client
            } else {
                fresh = client_tls(&client_plan).expect("a client");
                &fresh
            };
            let mut one = Session::client(client, "a.example").expect("a client");
            let mut up = Pipe::default();
            let mut down = Pipe::default();
            let mut other = None;
            loop {
                while one.wants_send() {
                    one.send(&mut up).expect("memory");
                }
                let begun = Instant::now();
                let other = other.get_or_insert_with(|| Session::server(&server));
                while other.receive(&mut up).is_ok() {}
                while other.wants_send() {
                    other.send(&mut down).expect("memory");
                }
                server_ns += begun.elapsed().as_nanos();
                while one.receive(&mut down).is_ok() {}
                if !one.wants_send() {
                    break;
                }
            }
            were_resumed += usize::from(other.expect("a session").facts().resumed);
        }
        println!(
            "server's share of a {} handshake: {:.0} us ({were_resumed} of {rounds} resumed)",
            if resumed { "resumed" } else { "full" },
            server_ns as f64 / 1e3 / f64::from(rounds)
        );
    }
    let _ = server_ns;

    // Bodies, encrypted and decrypted, by record size of the writer.
    for (length, rounds) in [(1024, 200_000), (64 * 1024, 20_000)] {
        let (mut one, mut other) = connect(&client, &server, &mut pipe);
        let body = vec![7; length];
        let (mut seal_ns, mut open_ns) = (0, 0);
        for _ in 0..rounds {
            let begun = Instant::now();
            assert_eq!(other.write(&body), length);
            while other.wants_send() {
                other.send(&mut pipe).expect("memory");
            }
            seal_ns += begun.elapsed().as_nanos();
            let begun = Instant::now();
            let mut got = 0;
            while got < length {
                one.receive(&mut pipe).expect("ciphertext");
                while let Ok(n) = one.read(&mut room) {
                    got += n;
                }
            }
            open_ns += begun.elapsed().as_nanos();
        }
        let per = |ns: u128| ns as f64 / 1e3 / f64::from(rounds);
        let rate = |ns: u128| length as f64 * f64::from(rounds) / ns as f64;
        println!(
            "{length} bytes ({}): write and send {:.2} us ({:.2} GB/s), receive and read {:.2} us ({:.2} GB/s)",
            one.facts().cipher,
            per(seal_ns),
            rate(seal_ns),
            per(open_ns),
            rate(open_ns)
        );
    }
}
