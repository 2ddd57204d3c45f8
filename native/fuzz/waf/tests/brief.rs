//! Each target for a few seconds, with the same inputs each time. `CNX_FUZZ_TIMES=1000 cargo test --release -p cnx-fuzz-waf` takes longer.

use cnx_fuzz_waf::TARGETS;

cnx_fuzz_inputs::targets! {
    TARGETS:
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
