use rcgen::{KeyPair, date_time_ymd};

use super::super::testing::{Authority, Issued, Pair, authority, client_of, client_plan, plan_of, server_of, tickets};
use super::super::{ServerTlsPlan, Session, server_tls};
use super::*;

/// The certificate that a server shows to a client that names `name`.
fn shown(plan: &ServerTlsPlan, name: Option<&str>) -> Vec<u8> {
    let mut warnings = Vec::new();
    let provider = super::super::provider();
    let certificates = Certificates::build(&plan.certificates, &provider, 0, &mut warnings).expect("certificates");
    let found = name
        .and_then(|name| certificates.find(name))
        .unwrap_or(&certificates.default);
    certificates.keys[found[0] as usize].cert[0].to_vec()
}

fn der(issued: &Issued) -> Vec<u8> {
    pem::certificates(&issued.chain_pem, "test").expect("a certificate")[0].to_vec()
}

fn error_of(plan: &ServerTlsPlan) -> String {
    server_tls(plan, tickets()).expect_err("refused").to_string()
}

#[test]
fn a_name_finds_its_certificate_then_its_wildcard_then_the_default() {
    let root = authority("root");
    let default = root.issue(&["default.example"]);
    let exact = root.issue(&["www.example.com", "example.com"]);
    let wildcard = root.issue(&["*.example.com"]);
    let plan = plan_of(&[&default, &exact, &wildcard]);
    for (name, expected) in [
        (Some("www.example.com"), &exact),
        (Some("example.com"), &exact),
        (Some("api.example.com"), &wildcard),
        (Some("a.api.example.com"), &default),
        (Some("com"), &default),
        (Some("other.example"), &default),
        (None, &default),
    ] {
        assert!(shown(&plan, name) == der(expected), "{name:?}");
    }
    // Through a whole handshake, with a client that checks the name.
    let client = client_of(&client_plan(&root));
    let server = server_of(&plan);
    for (name, fits) in [
        ("WWW.example.com", true),
        ("api.example.com", true),
        ("a.api.example.com", false),
    ] {
        let mut pair = Pair::new(
            Session::client(&client, name).expect("a client"),
            Session::server(&server),
            usize::MAX,
        );
        assert_eq!(pair.settle().0.is_none(), fits, "{name}");
    }
}

#[test]
fn names_of_the_plan_replace_those_of_the_certificate() {
    let root = authority("root");
    let (first, second) = (root.issue(&["a.example"]), root.issue(&["b.example"]));
    let mut plan = plan_of(&[&first, &second]);
    plan.certificates[1].names = vec!["C.example.".to_owned(), "*.d.example".to_owned()];
    assert!(shown(&plan, Some("b.example")) == der(&first));
    assert!(shown(&plan, Some("c.example")) == der(&second));
    assert!(shown(&plan, Some("x.d.example")) == der(&second));
    for bad in [
        "a b",
        "*",
        "*.*.example",
        "a.*.example",
        "bücher.example",
        "",
        "127.0.0.1",
    ] {
        plan.certificates[1].names = vec![bad.to_owned()];
        let error = error_of(&plan);
        assert!(
            error.starts_with(&format!("certificate 2, names: {bad:?} is no host name; write it like")),
            "{error}"
        );
    }
}

fn rsa(root: &Authority, names: &[&str]) -> Issued {
    root.issue_for(
        names,
        KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).expect("a key"),
        |_| {},
    )
}

#[test]
fn a_client_gets_the_kind_of_key_it_can_verify() {
    let root = authority("root");
    let plan = plan_of(&[&root.issue(&["a.example"]), &rsa(&root, &["a.example"])]);
    let server = server_of(&plan);
    assert!(server.warnings().is_empty(), "{:?}", server.warnings());
    for (suite, expected) in [("ECDHE_ECDSA", 0), ("ECDHE_RSA", 1)] {
        let mut provider = rustls::crypto::aws_lc_rs::default_provider();
        provider
            .cipher_suites
            .retain(|known| format!("{:?}", known.suite()).contains(suite));
        let roots = super::super::server::roots(root.pem.as_bytes(), "test").expect("roots");
        let config = rustls::ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&rustls::version::TLS12])
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut client =
            rustls::ClientConnection::new(Arc::new(config), "a.example".try_into().expect("a name")).expect("a client");
        let mut session = Session::server(&server);
        for _ in 0..3 {
            let mut up = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut up).expect("memory");
            }
            if !up.is_empty() {
                session.receive(&mut up.as_slice()).expect("a handshake");
            }
            let mut down = Vec::new();
            while session.wants_send() {
                session.send(&mut down).expect("memory");
            }
            let mut down = down.as_slice();
            while !down.is_empty() {
                client.read_tls(&mut down).expect("memory");
                client.process_new_packets().expect("a handshake");
            }
        }
        let got = client.peer_certificates().expect("a certificate")[0].to_vec();
        let wanted = pem::certificates(&plan.certificates[expected].chain_pem, "test").expect("a certificate");
        assert!(got == wanted[0].to_vec(), "{suite}");
    }
}

#[test]
fn what_is_wrong_is_told_with_its_part_and_its_mend() {
    let root = authority("root");
    let (good, other) = (root.issue(&["a.example"]), root.issue(&["b.example"]));
    let with = |change: &dyn Fn(&mut ServerTlsPlan)| {
        let mut plan = plan_of(&[&good, &other]);
        change(&mut plan);
        error_of(&plan)
    };
    let swap = with(&|plan| plan.certificates[1].key_pem.clone_from(&good.key_pem));
    assert!(
        swap.starts_with("certificate 2, key: does not belong to the certificate"),
        "{swap}"
    );
    assert!(swap.contains("; give the key"), "{swap}");
    for (error, expected) in [
        (
            with(&|plan| plan.certificates.clear()),
            "certificates: none is given; give",
        ),
        (
            with(&|plan| plan.certificates[0].chain_pem.clear()),
            "certificate 1, chain: no certificate in the PEM text; give",
        ),
        (
            with(&|plan| plan.certificates[0].chain_pem.clone_from(&good.key_pem)),
            "certificate 1, chain: no certificate in the PEM text (it holds a private key); give",
        ),
        (
            with(&|plan| plan.certificates[0].key_pem.clone_from(&good.chain_pem)),
            "certificate 1, key: no private key in the PEM text; give",
        ),
        (
            with(&|plan| plan.certificates[0].chain_pem.truncate(100)),
            "certificate 1, chain: the PEM text is broken",
        ),
        (
            with(&|plan| plan.certificates[0].key_pem = b"-----BEGIN ENCRYPTED PRIVATE KEY-----".to_vec()),
            "certificate 1, key: the key is encrypted with a passphrase; decrypt",
        ),
        (
            with(&|plan| {
                plan.certificates[0].chain_pem =
                    b"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n".to_vec()
            }),
            "certificate 1, chain: the first certificate cannot be read",
        ),
        (
            with(&|plan| {
                plan.certificates[0].key_pem =
                    b"-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n".to_vec()
            }),
            "certificate 1, key: not a key that can be used",
        ),
        (
            with(&|plan| plan.certificates[1].ocsp_der = Some(b"<html>".to_vec())),
            "certificate 2 (b.example), OCSP response: is no OCSP response in DER; give",
        ),
        (
            with(&|plan| plan.certificates[1].ocsp_der = Some(vec![0x30, 3, 0x0a, 1, 6])),
            "certificate 2 (b.example), OCSP response: says that the responder failed (status 6); fetch",
        ),
        (
            with(&|plan| plan.client_auth = super::super::ClientAuth::Required { ca_pem: Vec::new() }),
            "client CA: no certificate in the PEM text; give",
        ),
        (
            with(&|plan| plan.alpn = vec![Vec::new()]),
            "alpn: a protocol name of 0 bytes; use",
        ),
    ] {
        assert!(error.starts_with(expected), "{error}");
    }
}

#[test]
fn what_is_odd_is_a_warning_and_no_error() {
    let root = authority("root");
    let expired = root.issue_with(&["a.example"], |params| {
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
    });
    let future = root.issue_with(&["b.example"], |params| params.not_before = date_time_ymd(2200, 1, 1));
    let nameless = root.issue(&[]);
    let again = root.issue(&["a.example"]);
    let server = server_of(&plan_of(&[&expired, &future, &nameless, &again]));
    let [first, second, third, fourth] = server.warnings() else {
        panic!("{:?}", server.warnings())
    };
    assert!(first.starts_with("certificate 1 (a.example): expired "), "{first}");
    assert!(
        second.starts_with("certificate 2 (b.example): is not valid for another "),
        "{second}"
    );
    assert!(third.starts_with("certificate 3: has no DNS names"), "{third}");
    assert_eq!(
        fourth,
        "certificate 4 (a.example): the name a.example is also in certificate 1, which comes first and is used"
    );
}

#[test]
fn an_ocsp_response_is_stapled() {
    let root = authority("root");
    let mut plan = plan_of(&[&root.issue(&["a.example"])]);
    // "successful", with response bytes that the client here does not look into.
    let ocsp = [&[0x30, 35, 0x0a, 1, 0, 0xa0, 30][..], &[0x2a; 30]].concat();
    plan.certificates[0].ocsp_der = Some(ocsp.clone());
    let mut warnings = Vec::new();
    let certificates =
        Certificates::build(&plan.certificates, &super::super::provider(), 0, &mut warnings).expect("certificates");
    assert_eq!(certificates.keys[0].ocsp, Some(ocsp));
}
