//! Sessions as OpenSSL's own client sees them: versions, names, stapling, protocols, resumption, client certificates.

use std::io::{ErrorKind, Read};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use cnx_transport::tls::{
    CertificatePlan, ClientAuth, MinVersion, ServerTls, ServerTlsPlan, Session, TicketKeys, server_tls,
};

struct Issued {
    pem: String,
    key_pem: String,
}

fn issue(name: &str) -> Issued {
    issue_with(name, |_| {})
}

fn issue_with(name: &str, change: impl FnOnce(&mut rcgen::CertificateParams)) -> Issued {
    let key = rcgen::KeyPair::generate().expect("a key");
    let mut params = rcgen::CertificateParams::new(vec![name.to_owned()]).expect("a name");
    change(&mut params);
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    let certificate = params.self_signed(&key).expect("a certificate");
    Issued {
        pem: certificate.pem(),
        key_pem: key.serialize_pem(),
    }
}

fn plan() -> ServerTlsPlan {
    let certificate = |name: &str| {
        let issued = issue(name);
        CertificatePlan {
            chain_pem: issued.pem.into(),
            key_pem: issued.key_pem.into(),
            ..CertificatePlan::default()
        }
    };
    let mut plan = ServerTlsPlan {
        certificates: vec![certificate("default.example"), certificate("*.example.com")],
        alpn: vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        ..ServerTlsPlan::default()
    };
    // "successful" and nothing else: enough to be shown.
    plan.certificates[1].ocsp_der = Some(vec![0x30, 3, 0x0a, 1, 0]);
    plan
}

fn tls(plan: &ServerTlsPlan) -> ServerTls {
    server_tls(plan, TicketKeys::new(3600).expect("keys")).expect("TLS")
}

/// Serves one connection: tells its facts after the handshake, and closes.
fn serve(tls: &ServerTls, mut socket: TcpStream) {
    socket
        .set_read_timeout(Some(Duration::from_secs(20)))
        .expect("a time limit");
    let mut session = Session::server(tls);
    let mut told = false;
    loop {
        while session.wants_send() {
            if session.send(&mut socket).is_err() {
                return;
            }
        }
        if told || session.failure().is_some() {
            // The client ends the connection once it has read the end.
            let _ = socket.shutdown(std::net::Shutdown::Write);
            let _ = socket.read_to_end(&mut Vec::new());
            return;
        }
        match session.receive(&mut socket) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::InvalidData => {}
            Err(_) => return,
        }
        if !session.handshaking() && session.failure().is_none() {
            let text = format!("{:?}\n", session.facts());
            assert_eq!(session.write(text.as_bytes()), text.len());
            session.close();
            told = true;
        }
    }
}

/// Runs `openssl s_client` once for each list of arguments against one server; gives what it printed.
fn s_client(tls: &ServerTls, runs: &[&[&str]]) -> Vec<String> {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let mut printed = Vec::new();
    for arguments in runs {
        std::thread::scope(|scope| {
            let child = Command::new("openssl")
                .args(["s_client", "-connect", &address, "-ign_eof"])
                .args(*arguments)
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .expect("openssl is installed");
            let (socket, _) = listener.accept().expect("a connection");
            scope.spawn(|| serve(tls, socket));
            let output = child.wait_with_output().expect("an end");
            let text = [output.stdout, output.stderr].concat();
            printed.push(String::from_utf8_lossy(&text).into_owned());
        });
    }
    printed
}

fn file(name: &str, content: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("cnx-tls-{}-{name}", std::process::id()));
    std::fs::write(&path, content).expect("a temporary file");
    path
}

#[test]
fn versions_names_stapling_and_protocols() {
    let tls = tls(&plan());
    let printed = s_client(
        &tls,
        &[
            &[
                "-tls1_3",
                "-servername",
                "www.example.com",
                "-status",
                "-alpn",
                "http/1.1",
            ],
            &["-tls1_2", "-servername", "other.example", "-status", "-alpn", "h2"],
            &[
                "-tls1_3",
                "-noservername",
                "-ciphersuites",
                "TLS_CHACHA20_POLY1305_SHA256",
            ],
            &["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"],
        ],
    );
    for (text, wanted) in printed.iter().zip([
        &[
            "New, TLSv1.3",
            "CN = *.example.com",
            "OCSP Response Status: successful",
            "ALPN protocol: http/1.1",
            "version: \"TLSv1.3\"",
            "ja4: \"t13d",
        ][..],
        &[
            "New, TLSv1.2",
            "CN = default.example",
            "OCSP response: no response sent",
            "ALPN protocol: h2",
            "version: \"TLSv1.2\"",
            "ja4: \"t12d",
        ],
        &[
            "TLS_CHACHA20_POLY1305_SHA256",
            "CN = default.example",
            "server_name: None",
            "ja4: \"t13i02",
        ],
        &["alert protocol version"],
    ]) {
        for wanted in wanted {
            assert!(text.contains(wanted), "no {wanted:?} in\n{text}");
        }
    }
}

#[test]
fn sessions_of_both_versions_are_resumed_and_only_1_3_where_that_is_the_minimum() {
    let tls_both = tls(&plan());
    for (version, name) in [("-tls1_3", "TLSv1.3"), ("-tls1_2", "TLSv1.2")] {
        let path = file(&version[1..], "");
        let path = path.to_str().expect("a path");
        let printed = s_client(
            &tls_both,
            &[
                &[version, "-servername", "a.example.com", "-sess_out", path],
                &[version, "-servername", "a.example.com", "-sess_in", path],
            ],
        );
        std::fs::remove_file(path).expect("removed");
        assert!(
            printed[0].contains(&format!("New, {name}")) && printed[0].contains("resumed: false"),
            "{}",
            printed[0]
        );
        assert!(
            printed[1].contains(&format!("Reused, {name}")) && printed[1].contains("resumed: true"),
            "{}",
            printed[1]
        );
    }
    let mut plan = plan();
    plan.min_version = MinVersion::Tls13;
    let printed = s_client(&tls(&plan), &[&["-tls1_2"]]);
    assert!(printed[0].contains("alert protocol version"), "{}", printed[0]);
}

#[test]
fn client_certificates_are_asked_for_and_told() {
    let alice = issue("alice.example");
    let mut plan = plan();
    plan.client_auth = ClientAuth::Required {
        ca_pem: alice.pem.clone().into(),
    };
    let (certificate, key) = (file("alice.pem", &alice.pem), file("alice.key", &alice.key_pem));
    let (certificate, key) = (certificate.to_str().expect("a path"), key.to_str().expect("a path"));
    let with = |version| ["-cert", certificate, "-key", key, version];
    let printed = s_client(
        &tls(&plan),
        &[&with("-tls1_3"), &with("-tls1_2"), &["-tls1_3"], &["-tls1_2"]],
    );
    std::fs::remove_file(certificate).expect("removed");
    std::fs::remove_file(key).expect("removed");
    for text in &printed[..2] {
        assert!(
            text.contains("subject: \"CN=alice.example\"") && text.contains("DNS:alice.example"),
            "{text}"
        );
    }
    assert!(printed[2].contains("alert certificate required"), "{}", printed[2]);
    assert!(
        printed[3].contains("alert handshake failure") || printed[3].contains("alert certificate required"),
        "{}",
        printed[3]
    );
}

#[test]
fn a_ticket_of_a_client_whose_certificate_has_ended_is_resumed_no_more() {
    for version in ["-tls1_3", "-tls1_2"] {
        // However long the first handshake takes: at some point the certificate outlives it.
        for valid_s in [3, 10, 40] {
            let until = wall_s() + valid_s;
            let alice = issue_with("alice.example", |params| {
                params.not_after = rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(until);
            });
            let mut plan = plan();
            plan.client_auth = ClientAuth::Required {
                ca_pem: alice.pem.clone().into(),
            };
            let tls = tls(&plan);
            let paths = [
                file("short.pem", &alice.pem),
                file("short.key", &alice.key_pem),
                file("short.session", ""),
            ];
            let [certificate, key, session] = paths.each_ref().map(|path| path.to_str().expect("a path"));
            let shown = [version, "-cert", certificate, "-key", key];
            let first = s_client(&tls, &[&[&shown[..], &["-sess_out", session]].concat()]);
            let served = first[0].contains("subject: \"CN=alice.example\"");
            let resumed = if served && wall_s() < until {
                let again = s_client(&tls, &[&[version, "-sess_in", session, "-sess_out", session]]);
                assert!(
                    wall_s() >= until || again[0].contains("resumed: true"),
                    "while it holds: {}",
                    again[0]
                );
                while wall_s() <= until {
                    std::thread::sleep(Duration::from_millis(50));
                }
                Some(s_client(&tls, &[&[version, "-sess_in", session]]).remove(0))
            } else {
                None
            };
            for path in &paths {
                std::fs::remove_file(path).expect("removed");
            }
            if let Some(text) = resumed {
                assert!(
                    !text.contains("resumed:") && text.contains("alert certificate required"),
                    "{version}: {text}"
                );
                break;
            }
            assert!(valid_s < 40, "{version}: {}", first[0]);
        }
    }
}

fn wall_s() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .expect("a clock")
        .as_secs()
}

#[test]
fn a_dot_at_the_end_of_the_name_that_is_asked_for_changes_nothing() {
    let printed = s_client(&tls(&plan()), &[&["-servername", "www.example.com."]]);
    assert!(
        printed[0].contains("CN = *.example.com") && printed[0].contains("server_name: Some(\"www.example.com\")"),
        "{}",
        printed[0]
    );
}
