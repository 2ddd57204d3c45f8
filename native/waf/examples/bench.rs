//! Measures the engine alone and prints JSON: `cargo run --release -p cnx-waf --example bench -- [rule directory [part of a name]]`.
//! Without a directory: the demo rules. Beside peers: `npm run bench -- waf`.
//!
//! `firstUs`: every value is new; `againUs`: all were seen before. Requests of real clients lie between: most fields come again.
//!
//! A third argument is a number of inspections at paranoia level 1 without a clock, for counting instructions whatever else
//! the machine does: `valgrind --tool=callgrind --toggle-collect='bench::counted*' bench config/demo/waf "simple GET" 1000`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cnx_waf::engine::Transaction;
use cnx_waf::profile::{Profile, ProfileOptions};
use cnx_waf::program::compile::{CompileOptions, SourceFile, compile};
use cnx_waf::seclang::setting::EngineMode;
use cnx_waf::wire::{Request, pack_outcome, pack_request};

const ROUNDS: usize = 7;

fn main() {
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/demo/waf");
    let dir = std::env::args().nth(1).map_or(demo, PathBuf::from);
    let files = read(&dir);
    let begin = Instant::now();
    let sources: Vec<SourceFile<'_>> = files.iter().map(|(n, c)| SourceFile { name: n, content: c }).collect();
    let program = compile(&sources, CompileOptions::default()).unwrap_or_else(|list| {
        list.iter().for_each(|d| eprintln!("{d}"));
        std::process::exit(1);
    });
    let load_ms = begin.elapsed().as_secs_f64() * 1000.0;
    let program = Arc::new(program);
    println!(
        "{{\"rules\":{},\"prefiltered\":{},\"expressions\":{},\"memoryBytes\":{},\"loadMs\":{load_ms:.1},\"rows\":[",
        program.rule_count, program.prefiltered_count, program.expressions, program.memory_bytes
    );
    let mut first = true;
    let counted_times: Option<u32> = std::env::args().nth(3).and_then(|n| n.parse().ok());
    for level in [1u8, 4] {
        let options = ProfileOptions {
            mode: Some(EngineMode::DetectionOnly),
            variables: ["blocking", "detection"]
                .map(|kind| (format!("{kind}_paranoia_level"), level.to_string()))
                .into(),
            ..ProfileOptions::default()
        };
        let profile = Profile::new(Arc::clone(&program), &options).unwrap_or_else(|p| panic!("{}", p.message));
        let mut transaction = Transaction::default();
        for (name, packed) in workloads()
            .into_iter()
            .filter(|(n, _)| std::env::args().nth(2).is_none_or(|f| n.contains(&f)))
        {
            let request = Request::unpack(&packed).unwrap_or_else(|_| panic!("{name} is malformed"));
            let mut outcome = transaction.inspect(&profile, &request);
            if let Some(times) = counted_times {
                let mut out = [0u8; 4096];
                for _ in 0..times {
                    counted(&mut transaction, &profile, &packed, &mut out);
                }
                continue;
            }
            let mut measure = |transaction: &mut Transaction, forget: bool| {
                let mut each = Vec::new();
                for _ in 0..ROUNDS {
                    let mut count = 0u32;
                    let begin = Instant::now();
                    while begin.elapsed() < Duration::from_millis(20) {
                        for _ in 0..8 {
                            if forget {
                                transaction.forget();
                            }
                            outcome = transaction.inspect(&profile, &request);
                        }
                        count += 8;
                    }
                    each.push(begin.elapsed().as_secs_f64() * 1e6 / f64::from(count));
                }
                each.sort_by(f64::total_cmp);
                each[ROUNDS / 2]
            };
            let first_us = measure(&mut transaction, true);
            let again_us = measure(&mut transaction, false);
            let ids: Vec<String> = transaction.reports().map(|r| r.rule.to_string()).collect();
            println!(
                "{}{{\"name\":\"{name}\",\"paranoia\":{level},\"firstUs\":{first_us:.2},\"againUs\":{again_us:.2},\"work\":{},\"verdict\":{},\"score\":{},\"rules\":[{}]}}",
                if first { "" } else { "," },
                outcome.work,
                outcome.verdict as u8,
                outcome.score,
                ids.join(",")
            );
            first = false;
        }
        if counted_times.is_some() {
            break;
        }
        eprintln!("scratch memory at level {level}: {} bytes", transaction.memory_bytes());
    }
    println!("]}}");
}

/// What the binding does for each request; a function of its own, so that a profiler can tell it from the set-up.
#[inline(never)]
fn counted(transaction: &mut Transaction, profile: &Profile, packed: &[u8], out: &mut [u8]) {
    if let Ok(request) = Request::unpack(packed) {
        let outcome = transaction.inspect(profile, &request);
        std::hint::black_box(pack_outcome(&outcome, transaction, out));
    }
}

/// All files of a directory and its `rules` directory, setup first.
fn read(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut out = Vec::new();
    for place in [dir.to_owned(), dir.join("rules")] {
        let Ok(list) = std::fs::read_dir(&place) else { continue };
        let mut paths: Vec<PathBuf> = list
            .filter_map(|e| e.ok().map(|e| e.path()))
            .filter(|p| p.is_file())
            .collect();
        // The setup first and the decision last; what stands between has its order by name.
        paths.sort_by_key(|p| {
            let name = p
                .file_name()
                .map(|n| n.to_string_lossy().into_owned())
                .unwrap_or_default();
            (
                u8::from(name == "score.conf") + u8::from(!name.contains("setup.conf")),
                name,
            )
        });
        for p in paths {
            let name = p
                .file_name()
                .map(|n| n.to_string_lossy().into_owned())
                .unwrap_or_default();
            // Examples of exclusions are for editing; the setup is for use as it is.
            if name.ends_with(".conf") || name.ends_with(".data") || name == "crs-setup.conf.example" {
                out.push((name, std::fs::read(&p).unwrap_or_default()));
            }
        }
    }
    out
}

fn workloads() -> Vec<(&'static str, Vec<u8>)> {
    let get = |target: &str, headers: &[(&[u8], &[u8])]| {
        pack_request(b"GET", target.as_bytes(), b"HTTP/1.1", b"192.0.2.7", headers, b"")
    };
    let post = |kind: &'static [u8], body: &[u8]| {
        let length = body.len().to_string();
        let headers: Vec<(&[u8], &[u8])> = vec![
            (b"host", b"shop.example.com"),
            (
                b"user-agent",
                b"Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/120.0",
            ),
            (b"accept", b"*/*"),
            (b"content-type", kind),
            (b"content-length", length.as_bytes()),
        ];
        pack_request(b"POST", b"/api/orders", b"HTTP/1.1", b"192.0.2.7", &headers, body)
    };
    let simple: &[(&[u8], &[u8])] = &[
        (b"host", b"www.example.com"),
        (b"user-agent", b"curl/8.5.0"),
        (b"accept", b"*/*"),
    ];
    let browser: &[(&[u8], &[u8])] = &[
        (b"host", b"shop.example.com"),
        (b"user-agent", b"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36"),
        (b"accept", b"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"),
        (b"accept-language", b"en-US,en;q=0.9,de;q=0.8"),
        (b"accept-encoding", b"gzip, deflate, br"),
        (b"referer", b"https://shop.example.com/catalog/shoes?page=2"),
        (b"connection", b"keep-alive"),
        (b"upgrade-insecure-requests", b"1"),
        (b"sec-fetch-dest", b"document"),
        (b"sec-fetch-mode", b"navigate"),
        (b"sec-fetch-site", b"same-origin"),
        (b"cookie", b"sid=8f14e45fceea167a5a36dedd4bea2543; theme=dark; cart=3; _ga=GA1.2.1234567890.1700000000"),
    ];
    let token = format!(
        "Bearer eyJhbGciOiJSUzI1NiIsImtpZCI6IjIwMjYtMTEifQ.{}.{}",
        "eyJpc3MiOiJodHRwczovL2lkLmV4YW1wbGUuY29tIiwic3ViIjoiNDgyMTMiLCJhdWQiOiJvcmRlcnMiLCJzY29wZSI6Im9yZGVyczpyZWFkIn0",
        "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk3oVvT2w8aHn6Q".repeat(6)
    );
    let bearer: &[(&[u8], &[u8])] = &[
        (b"host", b"shop.example.com"),
        (b"user-agent", b"okhttp/4.12.0"),
        (b"accept", b"application/json"),
        (b"authorization", token.as_bytes()),
    ];
    let form = b"first_name=Alice&last_name=Smith&email=alice%40example.com&street=12+Main+Street&city=Springfield&zip=12345&country=US&comment=Please+deliver+in+the+morning%2C+thank+you%21";
    let thirty: Vec<String> = (0..30)
        .map(|i| format!("field{i}={}", "lorem+ipsum+dolor+sit+amet+".repeat(4)))
        .collect();
    let item = |i: usize| {
        format!(
            "{{\"sku\":\"AB-{i:05}\",\"name\":\"Running shoe, blue\",\"quantity\":{},\"price\":{}.95}}",
            i + 1,
            40 + i
        )
    };
    let mut items = String::new();
    let mut n = 0;
    let head = "{\"customer\":{\"id\":48213,\"name\":\"Alice Smith\",\"email\":\"alice@example.com\"},\"shipping\":{\"method\":\"express\",\"note\":\"Leave with the neighbour\"},\"coupon\":null,\"items\":[";
    while head.len() + items.len() + 90 < 842 {
        if n > 0 {
            items.push(',');
        }
        items.push_str(&item(n));
        n += 1;
    }
    let json = format!("{head}{items}]}}");
    let prose =
        "The quick brown fox jumps over the lazy dog, and nobody in the village was surprised to see it. ".repeat(110);
    let large = format!("text={}", prose[..10_000].replace(' ', "+"));
    let same = format!("text={}", "a".repeat(10_240));
    let unit = |u: &str| format!("text={}", u.repeat(20_480 / u.len()));
    let kind: &[u8] = b"application/x-www-form-urlencoded";
    vec![
        ("simple GET", get("/?a=1&b=hello", simple)),
        (
            "browser GET",
            get(
                "/catalog/shoes?page=3&sort=price&color=blue&size=42&q=running+shoes",
                browser,
            ),
        ),
        ("token GET", get("/api/orders?page=2&sort=date", bearer)),
        ("form POST", post(kind, form)),
        ("form POST 30 x 100 B", post(kind, thirty.join("&").as_bytes())),
        ("JSON 842 B", post(b"application/json", json.as_bytes())),
        ("10 KB aaa", post(kind, same.as_bytes())),
        ("10 KB prose", post(kind, large.as_bytes())),
        ("SQLi GET", get("/?id=1%27%20OR%201%3D1%20--%20", simple)),
        ("20 KB <", post(kind, unit("<").as_bytes())),
        ("20 KB '", post(kind, unit("'").as_bytes())),
        ("20 KB (", post(kind, unit("(").as_bytes())),
        ("20 KB ';", post(kind, unit("';").as_bytes())),
        ("20 KB $", post(kind, unit("$").as_bytes())),
    ]
}
