//! Runs a plan of `npm run bench -- waf`: rule files, requests, how long. The peers' programs in bench/peers/ read the same plans and answer
//! in the same lines, fields between tabs:
//!
//! - `load` nanoseconds, `memory` bytes that the rule set takes of the process,
//! - for each request `request` name, median in nanoseconds, ids of the rules that reported; the request is inspected with an answer that has a
//!   head alone, all phases, every value known from the inspection before,
//! - for each request `fresh`, likewise, when every value is new,
//! - `program` and `caches`: bytes that the compiled rules and the memory of one thread take by their own account.
//!
//! With `times` instead of `millis` each request is inspected so often and no clock is read: for counting allocations and instructions from
//! outside. A line `new` makes every value new each time:
//! `valgrind --tool=callgrind --toggle-collect='plan::counted*' plan PLAN` counts what inspections take, whatever else the machine does.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cnx_waf::engine::{Limit, Transaction};
use cnx_waf::profile::{Profile, ProfileOptions};
use cnx_waf::program::compile::{CompileOptions, SourceFile, compile};
use cnx_waf::wire::{RESPONSE_BODY_NOT_READ, Request, Response, pack_request, pack_response};

/// Inspections before the clock counts.
const WARM_UP: u32 = 5;

#[derive(Default)]
struct Plan {
    rules: Vec<PathBuf>,
    requests: Vec<(String, PathBuf)>,
    millis: u64,
    times: u32,
    new: bool,
}

fn main() {
    let path = std::env::args().nth(1).expect("a plan");
    let plan = read_plan(&std::fs::read_to_string(path).expect("the plan can be read"));
    let files = read_rules(&plan.rules);
    let before = resident_bytes();
    let begin = Instant::now();
    let sources: Vec<SourceFile<'_>> = files.iter().map(|(n, c)| SourceFile { name: n, content: c }).collect();
    let program = compile(&sources, CompileOptions::default()).unwrap_or_else(|list| {
        list.iter().for_each(|d| eprintln!("{d}"));
        std::process::exit(1);
    });
    println!("load\t{}", begin.elapsed().as_nanos());
    println!("memory\t{}", resident_bytes().saturating_sub(before));
    println!("program\t{}", program.memory_bytes);
    let options = ProfileOptions {
        answers: true,
        ..ProfileOptions::default()
    };
    let profile = Profile::new(Arc::new(program), &options).unwrap_or_else(|p| panic!("{}", p.message));
    let mut transaction = Transaction::default();
    let answer = pack_response(
        200,
        b"HTTP/1.1",
        &[(b"content-type", b"application/json")],
        b"",
        RESPONSE_BODY_NOT_READ,
    );
    for (name, path) in &plan.requests {
        let packed = packed(&std::fs::read(path).expect("the request can be read"));
        let mut inspect = |forget: bool| {
            if forget {
                transaction.forget();
            }
            let request = Request::unpack(&packed).unwrap_or_else(|_| panic!("{name} is malformed"));
            let response = Response::unpack(&answer).unwrap_or_else(|_| panic!("the answer is malformed"));
            transaction.inspect_whole(&profile, &request, Some(&response))
        };
        if plan.times > 0 {
            inspect(false);
            for _ in 1..plan.times {
                counted(|| _ = inspect(plan.new));
            }
            continue;
        }
        let fresh = median(plan.millis, || _ = inspect(true));
        let again = median(plan.millis, || _ = inspect(false));
        let limit = inspect(false).limit;
        assert_eq!(limit, Limit::None, "{name} reached a limit");
        let mut ids: Vec<String> = transaction.reports().map(|r| r.rule.to_string()).collect();
        ids.sort();
        ids.dedup();
        println!("request\t{name}\t{again}\t{}", ids.join(","));
        println!("fresh\t{name}\t{fresh}");
    }
    println!("caches\t{}", transaction.memory_bytes());
}

/// A function of its own, so that a profiler can tell inspections from the set-up.
#[inline(never)]
fn counted(once: impl FnOnce()) {
    std::hint::black_box(());
    once();
    std::hint::black_box(());
}

fn read_plan(text: &str) -> Plan {
    let mut plan = Plan::default();
    for line in text.lines() {
        match line.split('\t').collect::<Vec<_>>()[..] {
            ["rules", path] => plan.rules.push(path.into()),
            ["request", path, name] => plan.requests.push((name.to_owned(), path.into())),
            ["millis", n] => plan.millis = n.parse().expect("a number"),
            ["times", n] => plan.times = n.parse().expect("a number"),
            ["new"] => plan.new = true,
            _ => panic!("a plan has no line {line:?}"),
        }
    }
    plan
}

/// The rule files in their order, and the data files beside them.
fn read_rules(paths: &[PathBuf]) -> Vec<(String, Vec<u8>)> {
    let read = |path: &Path| {
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned());
        let content = std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        (name.unwrap_or_default(), content)
    };
    let mut out: Vec<(String, Vec<u8>)> = paths.iter().map(|p| read(p)).collect();
    let mut places: Vec<&Path> = paths.iter().filter_map(|p| p.parent()).collect();
    places.sort();
    places.dedup();
    for entry in places
        .iter()
        .filter_map(|p| std::fs::read_dir(p).ok())
        .flatten()
        .flatten()
    {
        if entry.path().extension().is_some_and(|e| e == "data") {
            out.push(read(&entry.path()));
        }
    }
    out
}

/// A request as HTTP/1.1 has it, packed.
fn packed(bytes: &[u8]) -> Vec<u8> {
    let end = bytes.windows(4).position(|w| w == b"\r\n\r\n").expect("a head");
    let head = std::str::from_utf8(&bytes[..end]).expect("text");
    let (first, fields) = head.split_once("\r\n").unwrap_or((head, ""));
    let [method, target, protocol] = first.split(' ').collect::<Vec<_>>()[..] else {
        panic!("{first:?} is no request line");
    };
    let headers: Vec<(&[u8], &[u8])> = fields
        .split("\r\n")
        .filter_map(|f| f.split_once(": "))
        .map(|(n, v)| (n.as_bytes(), v.as_bytes()))
        .collect();
    pack_request(
        method.as_bytes(),
        target.as_bytes(),
        protocol.as_bytes(),
        b"192.0.2.7",
        &headers,
        &bytes[end + 4..],
    )
}

/// Median of what each call takes, in nanoseconds; at least three are timed.
fn median(millis: u64, mut once: impl FnMut()) -> u128 {
    let begin = Instant::now();
    let limit = Duration::from_millis(millis);
    for _ in 0..WARM_UP {
        once();
    }
    let mut each = Vec::new();
    while each.len() < 3 || begin.elapsed() < limit {
        let from = Instant::now();
        once();
        each.push(from.elapsed().as_nanos());
    }
    each.sort_unstable();
    each[each.len() / 2]
}

fn resident_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find(|l| l.starts_with("VmRSS:")).unwrap_or_default();
    let kib = line.split_ascii_whitespace().nth(1).and_then(|n| n.parse::<u64>().ok());
    kib.unwrap_or_default() * 1024
}
