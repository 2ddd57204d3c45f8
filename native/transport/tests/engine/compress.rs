//! Compressed answers over real sockets: what is, what is not, what heads say, and that bytes arrive when they are due.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use cnx_transport::compress::{Algorithm, Levels, Plan as Compression};
use cnx_transport::engine::Compressed;

use crate::driver::{Lane, Plan};
use crate::peers::{Message, Upstream, Wire, upstream};

fn compression() -> Compression {
    Compression {
        algorithms: vec![Algorithm::Zstd, Algorithm::Brotli, Algorithm::Gzip],
        types: vec!["text/*".into(), "application/json".into(), "*+json".into()],
        bytes_min: 100,
        levels: Levels {
            gzip: 6,
            brotli: 5,
            zstd: 3,
        },
    }
}

fn start(plan: Plan) -> Lane {
    let lane = plan.start();
    lane.run(|engine| assert!(engine.set_compression(1, compression())));
    lane
}

pub fn decoded(name: &str, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    match name {
        "gzip" => drop(flate2::bufread::GzDecoder::new(bytes).read_to_end(&mut out).unwrap()),
        "br" => drop(brotli::Decompressor::new(bytes, 4096).read_to_end(&mut out).unwrap()),
        "zstd" => {
            let mut context = zstd_safe::DCtx::create();
            let mut input = zstd_safe::InBuffer::around(bytes);
            loop {
                let mut piece = vec![0; 1 << 16];
                let mut output = zstd_safe::OutBuffer::around(&mut piece[..]);
                context.decompress_stream(&mut output, &mut input).unwrap();
                let n = output.pos();
                out.extend_from_slice(&piece[..n]);
                if n == 0 && input.pos() == bytes.len() {
                    break;
                }
            }
        }
        _ => out.extend_from_slice(bytes),
    }
    out
}

fn text(n: usize) -> Vec<u8> {
    (0..)
        .flat_map(|i: usize| format!("line {i} of a text; ").into_bytes())
        .take(n)
        .collect()
}

/// Answers with what the path says: `/k/<kind>/<bytes>/<field>/<field>…`, where `_` stands for a space.
fn texts() -> Upstream {
    upstream(|mut wire, _| {
        while let Some(request) = wire.request() {
            let parts: Vec<&str> = request.path().split('/').skip(2).collect();
            let n: usize = parts[1].parse().unwrap();
            let mut head = String::from("HTTP/1.1 ");
            head += match parts[0] {
                "404" => "404 No\r\n",
                "206" => "206 Part\r\n",
                "304" => "304 Same\r\n",
                _ => "200 OK\r\n",
            };
            for field in &parts[2..] {
                head += &format!("{}\r\n", field.replace('_', " ").replace('|', "/"));
            }
            let body = text(n);
            match parts[0] {
                "chunk" => {
                    head += "transfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n";
                    wire.send(head);
                    for piece in body.chunks(1000) {
                        wire.send(format!("{:x}\r\n", piece.len())).send(piece).send("\r\n");
                    }
                    wire.send("0\r\nx-sum: 7\r\n\r\n");
                }
                "until" => {
                    wire.send(head + "\r\n").send(body);
                    return;
                }
                "cut" => {
                    head += &format!("content-length: {}\r\n\r\n", n + 1);
                    wire.send(head).send(body);
                    return;
                }
                "304" => drop(wire.send(head + "\r\n")),
                _ => {
                    head += &format!("content-length: {n}\r\n\r\n");
                    wire.send(head);
                    if !request.head.starts_with("HEAD") {
                        wire.send(body);
                    }
                }
            }
        }
    })
}

fn ask(wire: &mut Wire, path: &str, fields: &str) -> Message {
    wire.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
    wire.answer().unwrap()
}

const TYPE: &str = "content-type:_text|plain";

#[test]
fn bodies_of_any_framing_are_compressed_by_what_the_client_takes() {
    let upstream = texts();
    let lane = start(Plan::to(&[upstream.address]));
    let mut wire = Wire::to(lane.port);
    for name in ["gzip", "br", "zstd"] {
        for how in ["k", "m100", "m9000000"] {
            for kind in ["len", "chunk", "404"] {
                for n in [100, 3_000, 300_000] {
                    let path = format!("/{how}/{kind}/{n}/{TYPE}/etag:_\"x\"/accept-ranges:_bytes");
                    let got = ask(&mut wire, &path, &format!("Accept-Encoding: {name}\r\n"));
                    assert!(got.whole, "{path} {name}");
                    for line in [
                        &format!("content-encoding: {name}"),
                        "vary: accept-encoding",
                        "etag: W/\"x\"",
                        "transfer-encoding: chunked",
                    ] {
                        assert!(got.has(line), "{path}: {line} in {}", got.head);
                    }
                    assert!(!got.head.contains("accept-ranges") && !got.head.contains("content-length"));
                    assert!(got.body.len() < n, "{path}: {} bytes", got.body.len());
                    assert!(decoded(name, &got.body) == text(n), "{path} {name}");
                    assert_eq!(got.trailers.contains("x-sum: 7"), kind == "chunk", "{path}");
                }
            }
        }
        let mut last = Wire::to(lane.port);
        let got = ask(
            &mut last,
            &format!("/k/until/50000/{TYPE}"),
            &format!("Accept-Encoding: {name}\r\n"),
        );
        assert!(got.whole && decoded(name, &got.body) == text(50_000));
    }
    drop(wire);
    let counts = counts(&lane);
    assert_eq!(counts.answers, [3 * 3 * 3 + 1; 3]);
    assert!(
        counts
            .bytes_in
            .iter()
            .zip(counts.bytes_out)
            .all(|(before, after)| *before > 2 * after)
    );
    lane.end();
}

fn counts(lane: &Lane) -> Compressed {
    lane.run(|engine| engine.compressed())
}

#[test]
fn what_is_not_to_be_compressed_passes_as_it_came() {
    let upstream = texts();
    let lane = start(Plan::to(&[upstream.address]));
    let mut wire = Wire::to(lane.port);
    let all = "Accept-Encoding: gzip, br, zstd\r\n";
    for (path, vary) in [
        // Too short, of another type or none, compressed already, forbidden, a part, with a digest, never.
        ("k/len/99/T", false),
        ("k/len/5000/content-type:_image|png", false),
        ("k/len/5000", false),
        ("k/len/5000/T/content-encoding:_gzip", false),
        ("k/len/5000/T/cache-control:_public,_No-Transform", false),
        ("k/206/5000/T/content-range:_bytes_0-4999|9000", true),
        (
            "k/206/5000/content-type:_image|png/content-range:_bytes_0-4999|9000",
            false,
        ),
        ("k/404/5000/T/content-range:_bytes_*|9000", false),
        ("k/len/5000/T/repr-digest:_sha-256=:AA==:", false),
        ("k/len/5000/content-type:_text|event-stream", false),
        ("k/chunk/5000/content-type:_TEXT|Event-Stream;_charset=utf-8", false),
        ("f0/len/5000/T", false),
    ] {
        let path = format!(
            "/{}/etag:_\"x\"/accept-ranges:_bytes",
            path.replace("/T", &format!("/{TYPE}"))
        );
        let got = ask(&mut wire, &path, all);
        let n = path.split('/').nth(3).unwrap().parse().unwrap();
        assert!(got.whole && got.body == text(n), "{path}");
        assert!(got.has("etag: \"x\"") && got.has("accept-ranges: bytes"), "{path}");
        assert_eq!(got.has("vary: accept-encoding"), vary, "{path}");
    }
    // A client that takes none is told that others would get it otherwise.
    for fields in [
        "",
        "Accept-Encoding: deflate\r\n",
        "Accept-Encoding: *;q=0\r\n",
        "Accept-Encoding: identity, gzip;q=0.5\r\n",
    ] {
        let got = ask(
            &mut wire,
            &format!("/k/len/5000/{TYPE}/etag:_\"x\"/vary:_origin"),
            fields,
        );
        assert!(got.body == text(5000) && got.has("content-length: 5000") && got.has("etag: \"x\""));
        assert!(got.has("vary: accept-encoding") && got.has("vary: origin"));
    }
    // What the upstream says of it is not said twice.
    let got = ask(
        &mut wire,
        &format!("/k/len/5000/{TYPE}/vary:_origin,_Accept-Encoding"),
        all,
    );
    assert_eq!(
        got.head.matches("ccept-").count() - got.head.matches("accept-ranges").count(),
        1
    );
    assert!(got.has("content-encoding: zstd"));
    let got = ask(&mut wire, "/k/304/0/etag:_\"x\"", all);
    assert!(got.has("etag: W/\"x\"") && got.has("vary: accept-encoding"));
    drop(wire);
    lane.end();
}

#[test]
fn a_304_says_no_length_that_the_whole_would_not_have() {
    let upstream = texts();
    let lane = start(Plan::to(&[upstream.address]));
    let mut wire = Wire::to(lane.port);
    for (fields, path, says) in [
        ("Accept-Encoding: br\r\n", format!("{TYPE}/content-length:_5000"), false),
        ("Accept-Encoding: br\r\n", "content-length:_5000".to_owned(), false),
        ("", format!("{TYPE}/content-length:_5000"), true),
        (
            "Accept-Encoding: br\r\n",
            "content-type:_image|png/content-length:_5000".to_owned(),
            true,
        ),
    ] {
        let got = ask(&mut wire, &format!("/k/304/0/{path}"), fields);
        assert_eq!(got.has("content-length: 5000"), says, "{path} {fields}");
        assert!(says || !got.head.contains("content-length"), "{}", got.head);
    }
    drop(wire);
    lane.end();
}

#[test]
fn heads_say_what_the_answer_to_get_would() {
    let upstream = texts();
    let lane = start(Plan::to(&[upstream.address]));
    let mut wire = Wire::to(lane.port);
    for path in [
        format!("/k/len/5000/{TYPE}/etag:_\"x\""),
        "/b5000".into(),
        "/b500000".into(),
    ] {
        let fields = "Accept-Encoding: br\r\n";
        let got = ask(&mut wire, &path, fields);
        assert!(
            got.has("content-encoding: br") && got.has("vary: accept-encoding"),
            "{path}"
        );
        wire.send(format!("HEAD {path} HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
        let head = wire.bare().unwrap();
        let lines = |message: &Message| -> Vec<String> {
            let framing = |l: &&str| !l.starts_with("content-length") && !l.starts_with("transfer-encoding");
            message
                .head
                .lines()
                .filter(framing)
                .filter(|l| !l.starts_with("date"))
                .map(str::to_owned)
                .collect()
        };
        assert_eq!(lines(&got), lines(&head), "{path}");
        assert!(!head.head.contains("content-length"), "{path}");
    }
    wire.send("HEAD /b99 HTTP/1.1\r\nHost: a\r\nAccept-Encoding: br\r\n\r\n");
    assert!(wire.bare().unwrap().has("content-length: 99"));
    drop(wire);
    lane.end();
}

#[test]
fn answers_of_our_own_are_compressed_short_or_long() {
    let lane = start(Plan::to(&[]));
    let own = |n: usize| {
        b"of our own, again and again; "
            .iter()
            .copied()
            .cycle()
            .take(n)
            .collect::<Vec<u8>>()
    };
    let mut wire = Wire::to(lane.port);
    for name in ["gzip", "br", "zstd"] {
        for n in [100, 5_000, 64 * 1024, 64 * 1024 + 1, 1_000_000] {
            let got = ask(&mut wire, &format!("/b{n}"), &format!("Accept-Encoding: {name}\r\n"));
            assert!(got.whole && decoded(name, &got.body) == own(n), "{name} {n}");
            let short = n <= 64 * 1024;
            assert_eq!(
                got.has(&format!("content-length: {}", got.body.len())),
                short,
                "{name} {n}"
            );
        }
    }
    let mut old = Wire::to(lane.port);
    old.send("GET /b200000 HTTP/1.0\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n");
    let got = old.answer().unwrap();
    assert!(got.has("connection: close") && decoded("gzip", &got.body) == own(200_000));
    drop((wire, old));
    lane.end();
}

#[test]
fn an_answer_of_our_own_that_finds_no_room_to_be_held_goes_as_it_is() {
    let upstream = texts();
    let mut plan = Plan::to(&[upstream.address]);
    plan.options.collected_bytes_max = 250_000;
    let lane = start(plan);
    let mut wire = Wire::to(lane.port);
    for (n, room) in [(200_000, true), (300_000, false), (60_000, true), (200_000, true)] {
        let got = ask(&mut wire, &format!("/b{n}"), "Accept-Encoding: gzip\r\n");
        assert_eq!(got.has("content-encoding: gzip"), room, "{n}");
        assert!(got.has("vary: accept-encoding"), "{}", got.head);
        assert!(got.whole && (room || got.body.len() == n));
    }
    drop(wire);
    lane.end();
}

#[test]
fn clients_of_http_1_0_get_a_body_that_ends_with_the_connection() {
    let upstream = texts();
    let lane = start(Plan::to(&[upstream.address]));
    let mut old = Wire::to(lane.port);
    old.send(format!(
        "GET /k/len/90000/{TYPE} HTTP/1.0\r\nHost: a\r\nAccept-Encoding: br\r\n\r\n"
    ));
    let got = old.answer().unwrap();
    assert!(!got.head.contains("chunked") && !got.head.contains("content-length"));
    assert_eq!(decoded("br", &got.body), text(90_000));
    drop(old);
    lane.end();
}

#[test]
fn an_answer_that_breaks_off_does_not_look_whole() {
    let upstream = texts();
    let lane = start(Plan::to(&[upstream.address]));
    for name in ["gzip", "br", "zstd"] {
        let mut wire = Wire::to(lane.port);
        wire.send(format!(
            "GET /k/cut/90000/{TYPE} HTTP/1.1\r\nHost: a\r\nAccept-Encoding: {name}\r\n\r\n"
        ));
        assert!(wire.answer().is_none_or(|got| !got.whole), "{name}");
    }
    lane.end();
}

#[test]
fn what_has_come_goes_out_when_the_upstream_pauses() {
    let upstream = upstream(|mut wire, _| {
        if let Some(request) = wire.head() {
            let length = if request.path().ends_with("len") {
                "content-length: 1000"
            } else {
                "transfer-encoding: chunked"
            };
            wire.send(format!(
                "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nconnection: close\r\n{length}\r\n\r\n"
            ));
            for i in 0..5 {
                let piece = text(200);
                if length.starts_with("content") {
                    wire.send(&piece);
                } else {
                    wire.send(format!("{:x}\r\n", piece.len())).send(&piece).send("\r\n");
                }
                // It goes on only when the client says that it has seen it.
                if i < 4 && wire.exactly(1) != b"n" {
                    return;
                }
            }
            if length.starts_with("transfer") {
                wire.send("0\r\n\r\n");
            }
        }
    });
    let lane = start(Plan::to(&[upstream.address]));
    for name in ["gzip", "br", "zstd"] {
        for kind in ["len", "chunk"] {
            let mut wire = Wire::to(lane.port);
            wire.send(format!(
                "POST /k/{kind} HTTP/1.1\r\nHost: a\r\nAccept-Encoding: {name}\r\nContent-Length: 4\r\n\r\n"
            ));
            // The upstream reads a body of four bytes as answers to its pieces.
            let head = wire.head().unwrap();
            assert!(head.has(&format!("content-encoding: {name}")), "{kind}: {}", head.head);
            let mut got = Vec::new();
            for seen in 1..=5 {
                while partly(name, &got) < 200 * seen {
                    let size = usize::from_str_radix(&wire.line().unwrap(), 16).unwrap();
                    assert!(size > 0, "{name} {kind}: it ends after {seen}");
                    got.extend(wire.exactly(size));
                    wire.line();
                }
                if seen < 5 {
                    wire.send("n");
                }
            }
            drop(wire);
        }
    }
    lane.end();
}

/// How many bytes can be read of the begin of a compressed body.
fn partly(name: &str, bytes: &[u8]) -> usize {
    let mut out = Vec::new();
    let mut piece = vec![0; 4096];
    match name {
        "gzip" => {
            let mut decoder = flate2::Decompress::new_gzip(15);
            out.reserve(4096);
            if decoder
                .decompress_vec(bytes, &mut out, flate2::FlushDecompress::Sync)
                .is_err()
            {
                return 0;
            }
        }
        "br" => {
            let mut decoder = brotli::Decompressor::new(bytes, 4096);
            while let Ok(n) = decoder.read(&mut piece) {
                if n == 0 {
                    break;
                }
                out.extend_from_slice(&piece[..n]);
            }
        }
        _ => {
            let mut context = zstd_safe::DCtx::create();
            let mut input = zstd_safe::InBuffer::around(bytes);
            let mut output = zstd_safe::OutBuffer::around(&mut piece[..]);
            let _ = context.decompress_stream(&mut output, &mut input);
            return output.pos();
        }
    }
    out.len()
}

#[test]
fn a_client_that_takes_nothing_holds_the_upstream() {
    let sent = Arc::new(AtomicUsize::new(0));
    let upstream = upstream({
        let sent = sent.clone();
        move |mut wire, _| {
            if wire.request().is_some() {
                wire.send("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2000000000\r\n\r\n");
                // Bytes that no algorithm makes less of.
                let mut state = 1_u32;
                let mut piece = vec![0; 64 * 1024];
                loop {
                    for byte in &mut piece {
                        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                        *byte = (state >> 24) as u8;
                    }
                    if std::io::Write::write_all(&mut wire.stream, &piece).is_err() {
                        return;
                    }
                    sent.fetch_add(piece.len(), SeqCst);
                }
            }
        }
    });
    let mut plan = Plan::to(&[upstream.address]);
    plan.options.write_ms = 300;
    let lane = start(plan);
    let mut wire = Wire::to(lane.port);
    wire.send("GET /k/a HTTP/1.1\r\nHost: a\r\nAccept-Encoding: zstd\r\n\r\n");
    assert!(lane.until_seen(|seen| seen.aborted == 1));
    assert!(sent.load(SeqCst) < 50_000_000);
    drop(wire);
    lane.end();
}

#[test]
fn clients_that_leave_give_their_encoders_back() {
    let upstream = upstream(|mut wire, _| {
        if wire.request().is_some() {
            wire.send("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n");
            while std::io::Write::write_all(&mut wire.stream, b"5\r\nabcde\r\n").is_ok() {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    });
    let mut plan = Plan::to(&[upstream.address]);
    // Room for one of gzip.
    plan.options.coder_bytes_max = 500_000;
    let lane = start(plan);
    for round in 1..=3 {
        let mut wire = Wire::to(lane.port);
        wire.send("GET /k/a HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n");
        assert!(wire.head().unwrap().has("content-encoding: gzip"));
        // Nobody else has room meanwhile: his answer stays as it is.
        let mut other = Wire::to(lane.port);
        other.send("GET /k/a HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n");
        let head = other.head().unwrap();
        assert!(!head.head.contains("content-encoding") && head.has("vary: accept-encoding"));
        drop((wire, other));
        assert!(lane.until_seen(|seen| seen.aborted == 2 * round));
        assert_eq!(counts(&lane).busy, round as u64);
        assert!(lane.until(|lane| counts(lane).answers[0] == round as u64));
    }
    lane.end();
}

#[test]
fn one_that_compresses_much_does_not_starve_the_others() {
    // An answer without an end: whoever waited for it would wait for ever.
    let upstream = upstream(|mut wire, _| {
        if wire.request().is_some() {
            wire.send("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n");
            let piece = text(64 * 1024);
            while std::io::Write::write_all(&mut wire.stream, &piece).is_ok() {}
        }
    });
    let lane = start(Plan::to(&[upstream.address]));
    let mut much = Wire::to(lane.port);
    much.send("GET /k/a HTTP/1.1\r\nHost: a\r\nAccept-Encoding: br\r\n\r\n");
    assert!(much.head().unwrap().has("content-encoding: br"));
    let stop = Arc::new(AtomicUsize::new(0));
    let reader = std::thread::spawn({
        let stop = stop.clone();
        move || {
            while stop.load(SeqCst) == 0 {
                assert_eq!(much.exactly(1000).len(), 1000, "it goes on");
            }
        }
    });
    let mut wire = Wire::to(lane.port);
    for _ in 0..5 {
        assert_eq!(ask(&mut wire, "/a", "").body, b"own");
    }
    stop.store(1, SeqCst);
    reader.join().unwrap();
    drop(wire);
    lane.end();
}
