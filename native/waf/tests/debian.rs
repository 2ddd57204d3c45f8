//! Debian's rule set (CRS 3.3) and recommended configuration load as they are.

mod common;

use cnx_waf::program::compile::{CompileOptions, SourceFile, compile};
use common::Files;

/// The package's files, in the order in which its `owasp-crs.load` includes them.
fn crs3() -> Option<Files> {
    let mut files = Files::new();
    for dir in ["/etc/modsecurity/crs", "/usr/share/modsecurity-crs/rules"] {
        let Ok(list) = std::fs::read_dir(dir) else {
            assert_ne!(
                std::env::var("CI").as_deref(),
                Ok("true"),
                "{dir} is missing; run: apt-get install -y --no-install-recommends modsecurity-crs"
            );
            return None;
        };
        let mut paths: Vec<_> = list.filter_map(|e| Some(e.ok()?.path())).collect();
        paths.sort();
        for p in paths {
            let name = p.to_string_lossy().trim_start_matches('/').to_owned();
            files.push((
                name,
                std::fs::read(&p).unwrap_or_else(|e| panic!("{}: {e}", p.display())),
            ));
        }
    }
    let place = |name: &str| {
        let order = [
            "crs-setup.conf",
            "REQUEST-900",
            "modsecurity-crs/rules/",
            "RESPONSE-999",
        ];
        order.iter().position(|part| name.contains(part))
    };
    files.sort_by_key(|(name, _)| place(name));
    Some(files)
}

#[test]
fn the_rule_set_of_debian_loads_and_works() {
    let Some(files) = crs3() else { return };
    let sources: Vec<SourceFile<'_>> = files.iter().map(|(n, c)| SourceFile { name: n, content: c }).collect();
    if let Err(list) = compile(&sources, CompileOptions::default()) {
        panic!("{}", list.iter().map(|d| format!("{d}\n")).collect::<String>());
    }
}
