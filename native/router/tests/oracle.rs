//! The table against a plain reading of its rules: every entry is matched on its own, and the order is a comparison of two entries.

use cnx_router::{METHOD_BITS, METHOD_NOT_ALLOWED, NOT_FOUND, PathSpec, RouteSpec, Router};
use proptest::prelude::*;
use std::cmp::Ordering;

#[derive(Clone, Debug)]
enum Path {
    Exact(String),
    Prefix(String),
    Template(String),
    Regex(String),
}

#[derive(Clone, Debug)]
struct Route {
    hosts: Vec<String>,
    path: Path,
    methods: u16,
    predicates: bool,
    priority: i32,
}

fn segments(text: &str) -> Vec<&str> {
    text.strip_prefix('/').map_or(Vec::new(), |t| t.split('/').collect())
}

fn host_matches(pattern: &str, host: &str) -> bool {
    match pattern.strip_prefix("*.") {
        Some(name) => host
            .strip_suffix(name)
            .is_some_and(|front| front.len() > 1 && front.ends_with('.')),
        None => pattern == "*" || pattern == host,
    }
}

fn path_matches(pattern: &Path, path: &str) -> bool {
    match pattern {
        Path::Exact(text) => text == path,
        Path::Prefix(text) => {
            let text = text.strip_suffix('/').unwrap_or(text);
            path == text || path.starts_with(&format!("{text}/"))
        }
        Path::Template(text) => {
            let (want, have) = (segments(text), segments(path));
            for (i, segment) in want.iter().enumerate() {
                if segment.ends_with("...}") {
                    return have.len() > i;
                }
                match have.get(i) {
                    None => return false,
                    Some(s) if segment.starts_with('{') && s.is_empty() => return false,
                    Some(s) if !segment.starts_with('{') && s != segment => return false,
                    Some(_) => (),
                }
            }
            want.len() == have.len()
        }
        Path::Regex(text) => regex_automata::meta::Regex::new(&format!("^(?:{text})$"))
            .unwrap()
            .is_match(path),
    }
}

/// Larger is more specific: static 4, parameter 3, closed end 2, rest 1, open end 0.
fn path_key(path: &Path) -> Vec<u8> {
    let kinds = |text: &str, end: u8| {
        let mut key: Vec<u8> = segments(text)
            .iter()
            .map(|s| {
                if s.ends_with("...}") {
                    1
                } else if s.starts_with('{') {
                    3
                } else {
                    4
                }
            })
            .collect();
        if key.last() != Some(&1) {
            key.push(end);
        }
        key
    };
    match path {
        Path::Exact(text) | Path::Template(text) => kinds(text, 2),
        Path::Prefix(text) if text == "/" => vec![0],
        Path::Prefix(text) => kinds(text.strip_suffix('/').unwrap_or(text), 0),
        Path::Regex(_) => vec![],
    }
}

fn host_key(host: &str) -> (u8, usize) {
    match host {
        "*" => (0, 0),
        h if h.starts_with("*.") => (1, h.len()),
        _ => (2, 0),
    }
}

/// Routes that match, by the order of the rules; a route of several matching hosts stands there once for each.
fn candidates(routes: &[Route], host: &str, path: &str) -> Vec<usize> {
    let mut found: Vec<(&str, usize)> = Vec::new();
    for (i, route) in routes.iter().enumerate() {
        for pattern in &route.hosts {
            if host_matches(pattern, host) && path_matches(&route.path, path) {
                found.push((pattern, i));
            }
        }
    }
    let first_of_regex = |r: &Route| match &r.path {
        Path::Regex(text) => routes
            .iter()
            .position(|o| matches!(&o.path, Path::Regex(t) if t == text))
            .unwrap(),
        _ => 0,
    };
    found.sort_by(|(ha, a), (hb, b)| {
        let (ra, rb) = (&routes[*a], &routes[*b]);
        host_key(hb)
            .cmp(&host_key(ha))
            .then_with(|| path_key(&rb.path).cmp(&path_key(&ra.path)))
            .then_with(|| first_of_regex(ra).cmp(&first_of_regex(rb)))
            .then_with(|| rb.priority.cmp(&ra.priority))
            .then_with(|| rb.predicates.cmp(&ra.predicates))
            .then_with(|| ra.methods.count_ones().cmp(&rb.methods.count_ones()))
            .then_with(|| if a == b { Ordering::Equal } else { a.cmp(b) })
    });
    found.into_iter().map(|(_, i)| i).collect()
}

fn compile(routes: &[Route]) -> Result<Router, Vec<cnx_router::Problem>> {
    let ids: Vec<String> = (0..routes.len()).map(|i| format!("r{i}")).collect();
    let specs: Vec<RouteSpec> = routes
        .iter()
        .zip(&ids)
        .map(|(r, id)| RouteSpec {
            id,
            hosts: r.hosts.iter().map(String::as_str).collect(),
            path: match &r.path {
                Path::Exact(t) => PathSpec::Exact(t),
                Path::Prefix(t) => PathSpec::Prefix(t),
                Path::Template(t) => PathSpec::Template(t),
                Path::Regex(t) => PathSpec::Regex(t),
            },
            methods: r.methods,
            has_header_predicates: r.predicates,
            priority: r.priority,
        })
        .collect();
    Router::compile(&specs)
}

/// Compiles, leaving out routes that the table reports as problems until none is left.
fn compile_what_can_be(mut routes: Vec<Route>) -> (Vec<Route>, Router) {
    loop {
        match compile(&routes) {
            Ok(router) => return (routes, router),
            Err(problems) => {
                let mut bad: Vec<usize> = problems.iter().map(|p| p.route).collect();
                bad.sort_unstable();
                bad.dedup();
                for i in bad.into_iter().rev() {
                    routes.remove(i);
                }
            }
        }
    }
}

fn any_host() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["*", "a.com", "b.a.com", "*.a.com", "*.b.a.com", "*.com", "[::1]"]).prop_map(String::from)
}

fn any_segment(extra: &'static [&'static str]) -> impl Strategy<Value = &'static str> {
    let mut all = vec!["a", "b", "ab", "", "long-segment-of-23-bytes"];
    all.extend(extra);
    prop::sample::select(all)
}

fn any_path() -> impl Strategy<Value = Path> {
    let fixed = || prop::collection::vec(any_segment(&[]), 0..4).prop_map(|s| format!("/{}", s.join("/")));
    let template = (prop::collection::vec(any_segment(&["{}"]), 1..4), any::<bool>()).prop_map(|(parts, rest)| {
        let mut named: Vec<String> = parts
            .iter()
            .enumerate()
            .map(|(i, p)| {
                if *p == "{}" {
                    format!("{{p{i}}}")
                } else {
                    (*p).to_string()
                }
            })
            .collect();
        if rest {
            named.push("{rest...}".into());
        }
        format!("/{}", named.join("/"))
    });
    let regex =
        prop::sample::select(vec!["/a.*", "/[ab]+/[^/]+", "/a|/b", "/(a|ab)(/b)?", ".*"]).prop_map(String::from);
    prop_oneof![
        3 => fixed().prop_map(Path::Exact),
        3 => fixed().prop_map(Path::Prefix),
        4 => template.prop_map(Path::Template),
        1 => regex.prop_map(Path::Regex),
    ]
}

fn any_route() -> impl Strategy<Value = Route> {
    let hosts = prop::collection::btree_set(any_host(), 1..3).prop_map(|s| s.into_iter().collect());
    let methods = prop_oneof![Just(METHOD_BITS), Just(1u16), Just(3u16), 1u16..=METHOD_BITS];
    (hosts, any_path(), methods, any::<bool>(), -1i32..2).prop_map(|(hosts, path, methods, predicates, priority)| {
        Route {
            hosts,
            path,
            methods,
            predicates,
            priority,
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_table_answers_what_the_rules_say(
        routes in prop::collection::vec(any_route(), 0..24),
        asked in prop::collection::vec(
            (
                prop::sample::select(vec!["a.com", "b.a.com", "c.b.a.com", "x.com", "net", "", "[::1]", ".a.com"]),
                prop::collection::vec(any_segment(&["c"]), 0..5),
                0u32..10,
            ),
            1..24,
        ),
    ) {
        let (routes, router) = compile_what_can_be(routes);
        for (host, parts, method) in asked {
            let (path, bit) = (format!("/{}", parts.join("/")), 1u16 << method);
            let all = candidates(&routes, host, &path);
            let wanted: Vec<usize> = all.iter().copied().filter(|&i| routes[i].methods & bit != 0).collect();
            let mut got = Vec::new();
            let mut cursor = 0;
            loop {
                let entry = router.find(host.as_bytes(), path.as_bytes(), bit, cursor);
                if entry >= METHOD_NOT_ALLOWED {
                    let expected = if wanted.is_empty() && !all.is_empty() { METHOD_NOT_ALLOWED } else { NOT_FOUND };
                    prop_assert_eq!(entry, expected, "{} {} {}", host, &path, bit);
                    break;
                }
                prop_assert!(entry >= cursor);
                got.push(router.routes()[entry as usize] as usize);
                cursor = entry + 1;
            }
            prop_assert_eq!(&got, &wanted, "{} {} {}", host, &path, bit);
            let allowed = all.iter().fold(0, |m, &i| m | routes[i].methods);
            prop_assert_eq!(router.allowed(host.as_bytes(), path.as_bytes()), allowed);
        }
    }

    #[test]
    fn no_bytes_make_it_panic(
        routes in prop::collection::vec(any_route(), 0..12),
        host in prop::collection::vec(any::<u8>(), 0..300),
        path in prop::collection::vec(any::<u8>(), 0..300),
        bit in any::<u16>(),
        cursor in any::<u32>(),
    ) {
        let (_, router) = compile_what_can_be(routes);
        let _ = (router.find(&host, &path, bit, cursor), router.allowed(&host, &path));
    }

    #[test]
    fn no_pattern_makes_compiling_panic(text in "\\PC{0,40}", regex in "[a-z(){}\\[\\]\\\\*+?|.^$0-9,/-]{0,20}") {
        for path in [Path::Exact(text.clone()), Path::Prefix(text.clone()), Path::Template(text.clone()), Path::Regex(text.clone()), Path::Regex(regex)] {
            drop(compile(&[Route { hosts: vec![text.clone(), "*".into()], path, methods: 1, predicates: false, priority: 0 }]));
        }
    }
}

fn route(path: Path, methods: u16, predicates: bool) -> Route {
    Route {
        hosts: vec!["*".into()],
        path,
        methods,
        predicates,
        priority: 0,
    }
}

#[test]
fn problems_name_the_route_and_come_all_at_once() {
    let problems = compile(&[
        route(Path::Exact("/a".into()), 1, false),
        route(Path::Template("/a".into()), 1, false),
        route(Path::Template("/{x}/{x}".into()), 1, false),
        route(Path::Regex("(".into()), 1, false),
        route(Path::Exact("/b".into()), 0, false),
        Route {
            hosts: vec!["a:80".into()],
            ..route(Path::Exact("/c".into()), 1, false)
        },
        Route {
            hosts: vec!["A.com".into(), "a.com".into()],
            ..route(Path::Exact("/d".into()), 1, false)
        },
        Route {
            priority: 1,
            ..route(Path::Prefix("/e".into()), 3, false)
        },
        route(Path::Prefix("/e/".into()), 1, false),
    ])
    .err()
    .unwrap();
    let mut got: Vec<(usize, &str)> = problems.iter().map(|p| (p.route, p.message.as_str())).collect();
    got.sort_unstable();
    assert_eq!(got.iter().map(|(i, _)| *i).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6, 8]);
    for ((i, message), says) in got.iter().zip([
        "duplicate: route `r0`",
        "occurs twice",
        "unclosed",
        "at least one method",
        "is not a host",
        "named twice",
        "never be chosen",
    ]) {
        assert!(
            message.starts_with(&format!("route `r{i}`: ")) && message.contains(says),
            "{message}"
        );
    }
}

#[test]
fn routes_that_differ_by_predicates_are_no_duplicates() {
    let router = compile(&[
        route(Path::Exact("/a".into()), 1, false),
        route(Path::Exact("/a".into()), 1, true),
        route(Path::Exact("/a".into()), 1, true),
    ])
    .ok()
    .unwrap();
    assert_eq!(router.routes(), [1, 2, 0]);
}

#[test]
fn sizes_are_bounded() {
    let many = vec![route(Path::Exact("/a".into()), 1, true); cnx_router::ROUTES_MAX + 1];
    assert!(compile(&many).err().unwrap()[0].message.contains("100000"));
    let regexes: Vec<Route> = (0..=cnx_router::REGEX_ROUTES_MAX)
        .map(|i| route(Path::Regex(format!("/{i}/.*")), 1, false))
        .collect();
    assert!(
        compile(&regexes).err().unwrap()[0]
            .message
            .contains("the table is full")
    );
    let hosts = (0..65).map(|i| format!("h{i}")).collect();
    let wide = Route {
        hosts,
        ..route(Path::Exact("/a".into()), 1, false)
    };
    assert!(compile(&[wide]).err().unwrap()[0].message.contains("1 to 64"));
    let bad = vec![route(Path::Exact("a".into()), 1, false); 500];
    assert_eq!(compile(&bad).err().unwrap().len(), cnx_router::PROBLEMS_MAX);
}

#[test]
fn ten_thousand_routes_are_told_apart() {
    let routes: Vec<Route> = (0..10_000)
        .map(|i| route(Path::Template(format!("/t{}/{{id}}/item{i}", i % 100)), 1, false))
        .chain([route(Path::Prefix("/".into()), 1, false)])
        .collect();
    let router = compile(&routes).ok().unwrap();
    for i in (0..10_000).step_by(7) {
        let path = format!("/t{}/x/item{i}", i % 100);
        assert_eq!(router.routes()[router.find(b"h", path.as_bytes(), 1, 0) as usize], i);
    }
}
