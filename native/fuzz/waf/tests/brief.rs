//! Each target for a few seconds, with the same inputs each time. `CNX_FUZZ_TIMES=1000 cargo test --release -p cnx-fuzz-waf` takes longer.

use cnx_fuzz_inputs::{run, times};
use cnx_fuzz_waf::TARGETS;

/// Runs a target for which nothing may fail.
fn holds(name: &str) {
    let target = TARGETS.iter().find(|t| t.name == name).expect("a target of this name");
    run(target, target.runs * times());
}

macro_rules! targets {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            holds(stringify!($name));
        })*

        #[test]
        fn each_target_is_run() {
            let here = [$(stringify!($name)),*];
            assert_eq!(TARGETS.iter().map(|t| t.name).collect::<Vec<_>>(), here);
        }
    };
}

targets! {
    waf_seclang
    waf_expression
    waf_rules
    waf_prefilter
    waf_pcre
    waf_transformations
    waf_bodies
    waf_urlencoded
    waf_json
    waf_xml
    waf_multipart
    libinjection_sqli
    libinjection_xss
}
