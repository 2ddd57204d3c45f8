//! The answers are those of libinjection: of the one that Debian's libmodsecurity holds, asked about every value of the test data and
//! about what deterministic changes make of them.

mod corpus;
mod oracle;

use cnx_libinjection::{sqli, xss};

/// Values made by changes, beside the corpus.
const CHANGED: usize = 60_000;

#[test]
fn every_verdict_and_fingerprint_is_that_of_libinjection() {
    let values = corpus::values(CHANGED);
    let Some(answers) = oracle::ask(&values) else { return };
    let mut differences = Vec::new();
    let (mut injections, mut scripts, mut fingerprints) = (0, 0, std::collections::BTreeSet::new());
    for (value, theirs) in values.iter().zip(&answers) {
        let print = sqli::detect(value).fingerprint;
        let ours = oracle::Answer {
            fingerprint: print.map(|p| p.as_bytes().to_vec()),
            xss: xss::detect(value).found,
        };
        injections += usize::from(print.is_some());
        scripts += usize::from(ours.xss);
        fingerprints.extend(ours.fingerprint.clone());
        if ours != *theirs {
            differences.push(format!("{}: {ours:?}, libinjection {theirs:?}", value.escape_ascii()));
        }
    }
    println!(
        "{} values, {injections} with SQL of {} fingerprints, {scripts} with scripts, {} differences",
        values.len(),
        fingerprints.len(),
        differences.len()
    );
    assert!(
        differences.is_empty(),
        "{}",
        differences[..differences.len().min(20)].join("\n")
    );
    assert!(
        corpus::is_missing() || (injections > 5_000 && scripts > 2_000 && fingerprints.len() > 200),
        "the corpus tests little"
    );
}
