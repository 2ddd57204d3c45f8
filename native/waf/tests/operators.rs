//! Each operator beside libmodsecurity's: the same rules, the same values, the same ids.

mod common;
#[allow(dead_code, reason = "each test file uses its own part")]
#[path = "common/oracle.rs"]
mod oracle;

use common::Gateway;
use oracle::{Dice, Oracle};

/// Operators with their arguments. `^` and `$` stand only where no line can end, since expressions are multi-line there.
const OPERATORS: &[&str] = &[
    r"@rx (?i)select\s+\w+",
    r"@rx <(?!b)[a-z]",
    r"@rx (?<![a-z])on\w+=",
    r"@rx (\w+)=\1",
    r"@rx a++b|(?>x+)y",
    r"@rx [[:alpha:]]{3}[^]a-c]",
    r"@rx {{.*?}}",
    r"@rx x{,2}|\x{41}\x42",
    r"@rx [\w.-]+@[\w-]+",
    r"@rx \bor\b.+?=",
    r"!@rx \d",
    "@pm select union <script onload",
    "@contains =a",
    "@containsWord or",
    "@beginsWith <s",
    "@endsWith =1",
    "@streq abc",
    "@strmatch <b",
    "@within abc or select 1=1",
    "@validateByteRange 32-126",
    "@validateUrlEncoding",
    "@validateUtf8Encoding",
    "@eq 1",
    "@ge 2",
    "@gt 3",
    "@le -1",
    "@lt 12",
    "@ipMatch 10.0.0.0/8,192.168.1.1,2001:db8::/32",
    r"@verifyCC \d{13,16}",
    r"@verifySSN \d{3}-?\d{2}-?\d{4}",
    r"@verifyCPF [0-9.-]{11,14}",
    "!@streq x",
    "@unconditionalMatch",
    "@noMatch",
];

const PIECES: &[&[u8]] = &[
    b"select ",
    b"SELECT\t",
    b"union",
    b"a",
    b"b",
    b"=",
    b"1",
    b"a=a",
    b"c=d",
    b"<b",
    b"<s",
    b"<script",
    b"onload",
    b"on",
    b" or ",
    b"or",
    b"abc",
    b"{{",
    b"}}",
    b"x{,2}",
    b"AB",
    b"x",
    b"y",
    b"%",
    b"%41",
    b"%zz",
    b"\xc3\xa9",
    b"\xff",
    b"\xc0\xaf",
    b"-1",
    b"12",
    b" ",
    b".",
    b"@",
    b"10.1.2.3",
    b"192.168.1.1",
    b"2001:db8::5",
    b"4532015112830366",
    b"078-05-1120",
    b"529.982.247-25",
    b"3",
    b"]",
    b"\"",
];

#[test]
fn operators_are_those_of_libmodsecurity() {
    let Some(mut oracle) = Oracle::start() else { return };
    let mut rules = String::from("SecRuleEngine On\n");
    for (i, operator) in OPERATORS.iter().enumerate() {
        rules.push_str(&format!(
            "SecRule REQUEST_HEADERS:x \"{operator}\" \"id:{},phase:1,pass,log,t:none\"\n",
            i + 1
        ));
    }
    oracle.rules(&rules);
    let mut g = Gateway::rules(&rules);
    let mut dice = Dice(11);
    let (mut wrong, mut hits) = (String::new(), vec![0usize; OPERATORS.len()]);
    let count = 6000;
    for i in 0..count {
        let value = dice.text(PIECES, 1 + i % 8);
        let theirs = oracle.header(&value);
        let headers: [(&[u8], &[u8]); 2] = [(b"host", b"example.com"), (b"x", &value)];
        let packed = cnx_waf::wire::pack_request(b"POST", b"/form", b"HTTP/1.1", b"192.0.2.1", &headers, b"");
        let request = cnx_waf::wire::Request::unpack(&packed).expect("a packed request");
        g.transaction.inspect(&g.profile, &request);
        let ours = g.ids();
        for (at, operator) in OPERATORS.iter().enumerate() {
            let id = u32::try_from(at + 1).unwrap_or(0);
            let (a, b) = (ours.contains(&id), theirs.contains(&id));
            hits[at] += usize::from(a);
            if a == b {
                continue;
            }
            if wrong.len() < 2000 {
                wrong.push_str(&format!(
                    "{operator} on {:?}: {a}, libmodsecurity {b}\n",
                    value.escape_ascii().to_string()
                ));
            }
        }
    }
    println!("operators: {} answers, no difference", count * OPERATORS.len());
    assert!(wrong.is_empty(), "{wrong}");
    for (operator, hits) in OPERATORS.iter().zip(hits) {
        assert!(hits > 0 || *operator == "@noMatch", "{operator} was never true");
    }
}
