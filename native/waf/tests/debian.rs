//! Debian's rule set (CRS 3.3) and the recommended configuration that its packages hold load as they are.

mod common;

use cnx_waf::engine::Verdict;
use common::{Files, Gateway};

/// Files of a package by their whole names, without the first slash. `None` where it is not installed, which under CI is an
/// error.
fn package(places: &[&str]) -> Option<Files> {
    let mut paths = Vec::new();
    for place in places {
        let path = std::path::Path::new(place);
        if path.is_file() {
            paths.push(path.to_path_buf());
            continue;
        }
        let Ok(list) = std::fs::read_dir(path) else {
            assert_ne!(
                std::env::var("CI").as_deref(),
                Ok("true"),
                "{place} is missing; run: apt-get install -y --no-install-recommends modsecurity-crs"
            );
            return None;
        };
        paths.extend(list.filter_map(|e| Some(e.ok()?.path())));
    }
    let read = |p: std::path::PathBuf| {
        let name = p.to_string_lossy().trim_start_matches('/').to_owned();
        let content = std::fs::read(&p).unwrap_or_else(|e| panic!("{}: {e}", p.display()));
        (name, content)
    };
    Some(paths.into_iter().map(read).collect())
}

#[test]
fn the_rule_set_of_debian_loads_and_works() {
    let places = [
        "/etc/modsecurity/crs",
        "/usr/share/modsecurity-crs/rules",
        "/usr/share/modsecurity-crs/owasp-crs.load",
    ];
    let Some(mut files) = package(&places) else { return };
    // The package's own list of files, included by what its administrator writes.
    let own = "SecRuleEngine On\nInclude /usr/share/modsecurity-crs/*.load\n";
    files.push(("main.conf".to_owned(), own.as_bytes().to_vec()));
    let mut g = Gateway::new(&files);
    assert!(g.profile.program.rule_count > 600, "{}", g.profile.program.rule_count);
    let headers = [
        ("user-agent", "Mozilla/5.0 (X11; Linux x86_64) Firefox/120.0"),
        ("accept", "*/*"),
    ];
    for (target, id) in [
        ("/?q=%3Cscript%3Ealert(1)%3C/script%3E", 941_110),
        ("/?f=../../etc/passwd", 930_120),
        ("/?q=1'+or+'1'='1", 942_100),
        ("/?c=;cat+/etc/passwd", 932_160),
    ] {
        let outcome = g.get(target, &headers);
        assert_eq!(outcome.verdict, Verdict::Block, "{target} {:?}", g.ids());
        assert!(g.ids().contains(&id), "{target} {:?}", g.ids());
        assert_eq!(outcome.blocking_rule, 949_110);
    }
    let outcome = g.get("/catalog/shoes?page=3&sort=price&q=running+shoes", &headers);
    assert_eq!(outcome.verdict, Verdict::Pass, "{:?}", g.ids());
    let form = "application/x-www-form-urlencoded";
    for unit in ["<", "'", "(", "a=b ", "{{", "\"", "x "] {
        let body = format!("text={}", unit.repeat(20_000 / unit.len()));
        let outcome = g.post(form, body.as_bytes());
        assert!(outcome.work < 20_000_000, "{unit}: {}", outcome.work);
    }
}
