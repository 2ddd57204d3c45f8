//! What a thread may hold and what a request may cost, with the whole Core Rule Set.

mod common;

use cnx_waf::engine::{Limit, Transaction, Verdict};
use cnx_waf::profile::{Profile, ProfileOptions};
use cnx_waf::seclang::setting::EngineMode;
use cnx_waf::wire::{Request, pack_request};
use common::{Gateway, crs};

/// What one thread may keep for expressions.
const CACHES_BYTES_MAX: usize = 32 << 20;
/// A request may pass its budget by the rules that look at its longest value once.
const OVERSHOOT_MAX: u64 = 4 << 20;

/// Bytes between the words of bodies that call for every rule.
const NOISE: &[u8] = b" !\"#$'()*,-./:;<>?@[]^_`{|}~aeiou0189\\";

const UNITS: [&str; 14] = [
    "<", "'", "(", "';", "$", "<a ", "\\", "&#", "%25", "/*", "a ", "../", "<!--", "0x",
];

fn level(profile: &Profile, level: u8, work_max: u64) -> Profile {
    let options = ProfileOptions {
        mode: Some(EngineMode::DetectionOnly),
        variables: ["blocking", "detection"]
            .map(|kind| (format!("{kind}_paranoia_level"), level.to_string()))
            .into(),
        work_max: Some(work_max),
        ..ProfileOptions::default()
    };
    Profile::new(profile.program.clone(), &options).unwrap_or_else(|p| panic!("{}", p.message))
}

/// 20 KB of a unit wherever a client can put it, whole and in many pieces.
fn adversarial(unit: &str) -> Vec<Vec<u8>> {
    let long = unit.repeat(20_000 / unit.len());
    let escaped: String = long.bytes().map(|b| format!("%{b:02x}")).collect();
    let pieces = |n: usize, sep: &str| -> String {
        let part = unit.repeat(20_000 / n / unit.len() + 1).replace(['&', ';', '='], "+");
        (0..n).map(|i| format!("k{i}={part}{sep}")).collect()
    };
    let form = "application/x-www-form-urlencoded";
    let post = |kind: &str, body: &[u8]| {
        let headers: [(&[u8], &[u8]); 2] = [(b"host", b"h"), (b"content-type", kind.as_bytes())];
        pack_request(b"POST", b"/a", b"HTTP/1.1", b"192.0.2.1", &headers, body)
    };
    let head = |target: &str, name: &str, value: &str| {
        let headers: [(&[u8], &[u8]); 2] = [(b"host", b"h"), (name.as_bytes(), value.as_bytes())];
        pack_request(b"GET", target.as_bytes(), b"HTTP/1.1", b"192.0.2.1", &headers, b"")
    };
    let json = format!(
        "{{\"a\":\"{}\"}}",
        long.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
    );
    let xml = format!(
        "<a b=\"{0}\">{0}</a>",
        long.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
    );
    let multipart = format!(
        "--b\r\ncontent-disposition: form-data; name=\"x\"; filename=\"{}\"\r\n\r\n{long}\r\n--b--\r\n",
        &escaped[..2000]
    );
    vec![
        post(form, format!("text={long}").as_bytes()),
        post(form, format!("text={escaped}").as_bytes()),
        post(form, pieces(200, "&").as_bytes()),
        post("application/json", json.as_bytes()),
        post("application/xml", xml.as_bytes()),
        post("multipart/form-data; boundary=b", multipart.as_bytes()),
        head(&format!("/{escaped}"), "accept", "*/*"),
        head(&format!("/?q={escaped}"), "accept", "*/*"),
        head("/", "x-long", &long.replace('\n', " ")),
        head("/", "cookie", &pieces(200, "; ").replace('\n', " ")),
    ]
}

/// Bodies that call for every rule: words of the rule set's own data between random bytes.
fn provoking(files: &common::Files) -> Vec<Vec<u8>> {
    let words: Vec<&[u8]> = files
        .iter()
        .filter(|(name, _)| name.ends_with(".data"))
        .flat_map(|(_, content)| content.split(|b| *b == b'\n'))
        .filter(|line| !line.is_empty() && line[0] != b'#')
        .collect();
    let mut state = 1u64;
    let mut below = move |n: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % n
    };
    (0..3)
        .map(|_| {
            let mut body = b"text=".to_vec();
            while body.len() < 20_000 {
                body.extend_from_slice(words[below(words.len())]);
                for _ in 0..below(12) {
                    body.push(NOISE[below(NOISE.len())]);
                }
            }
            let headers: [(&[u8], &[u8]); 2] =
                [(b"host", b"h"), (b"content-type", b"application/x-www-form-urlencoded")];
            pack_request(b"POST", b"/a", b"HTTP/1.1", b"192.0.2.1", &headers, &body)
        })
        .collect()
}

#[test]
fn the_adversarial_corpus_stays_within_memory_and_work() {
    let Some(files) = crs() else { return };
    let g = Gateway::new(&files);
    let profile = level(&g.profile, 4, 64 << 20);
    let mut t = Transaction::default();
    let (mut work, mut memory) = (0, 0);
    let corpus = UNITS.iter().flat_map(|unit| adversarial(unit));
    for packed in corpus.chain(provoking(&files)) {
        let outcome = t.inspect(&profile, &Request::unpack(&packed).unwrap());
        assert_ne!(outcome.verdict, Verdict::Error);
        work = work.max(outcome.work);
        memory = memory.max(t.memory_bytes());
    }
    println!("worst work {work}, at most {memory} bytes");
    assert!(work < 16 << 20, "{work}");
    assert!(memory < CACHES_BYTES_MAX, "{memory} bytes");
}

#[test]
fn a_poisonous_request_ends_soon_after_its_budget() {
    let Some(files) = crs() else { return };
    let g = Gateway::new(&files);
    let profile = level(&g.profile, 4, 1 << 20);
    let mut t = Transaction::default();
    let mut limited = 0;
    let mut worst = 0;
    for unit in UNITS {
        for packed in adversarial(unit) {
            let outcome = t.inspect(&profile, &Request::unpack(&packed).unwrap());
            worst = worst.max(outcome.work);
            if outcome.limit == Limit::Work {
                limited += 1;
                assert_eq!(outcome.verdict, Verdict::BudgetExceeded);
            }
        }
    }
    println!("{limited} beyond the budget, worst work {worst}");
    assert!(limited > 10, "{limited}");
    assert!(worst < (1 << 20) + OVERSHOOT_MAX, "{worst}");
}
