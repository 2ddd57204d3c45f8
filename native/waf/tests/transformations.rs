//! Each transformation beside libmodsecurity's, on thousands of values made of what it looks at.

#[allow(dead_code, reason = "each test file uses its own part")]
#[path = "common/oracle.rs"]
mod oracle;

use cnx_waf::transform::TRANSFORMS;
use oracle::{Dice, Oracle};

/// Values of each transformation.
const VALUES: usize = 6000;

const PIECES: &[&[u8]] = &[
    b"%",
    b"%u",
    b"%U00",
    b"+",
    b"41",
    b"3c",
    b"fF01",
    b"ff5e",
    b"ff5f",
    b"0",
    b"00",
    b"x",
    b"X",
    b"0x",
    b"0x4",
    b"u",
    b"\\",
    b"\\x",
    b"\\u00",
    b"\\uff0e",
    b"\\\n",
    b"\\0",
    b"\\18",
    b"\\377",
    b"\\400",
    b"\\n",
    b"a",
    b"Zz",
    b"&",
    b"&#",
    b"&#x",
    b"&lt",
    b"&LT;",
    b"&amp;",
    b"&nbsp",
    b"&quot;",
    b"&gt1",
    b"&am",
    b"&#60;",
    b"&#x3c",
    b"&#99999999999",
    b"&#xffffffffffffffffff;",
    b"&#99999999999999999999999",
    b";",
    b"/",
    b"//",
    b"/.",
    b"/..",
    b"./",
    b"../",
    b"..",
    b".",
    b"/./",
    b"/*",
    b"*/",
    b"*",
    b"--",
    b"-",
    b"#",
    b"<!--",
    b"-->",
    b"<!",
    b" ",
    b"  ",
    b"\t",
    b"\r\n",
    b"\x0b",
    b"\x0c",
    b"\xa0",
    b"\xc2\xa0",
    b"\0",
    b"'",
    b"\"",
    b"^",
    b",",
    b"(",
    b"=",
    b"==",
    b"QUJD",
    b"QQ==",
    b"_",
    b"\xc3\xa9",
    b"\xe2\x82\xac",
    b"\xf0\x9f\x98\x80",
    b"\xc0\xaf",
    b"\xed\xa0\x80",
    b"\xe2\x82",
    b"\xf4\x90\x80\x80",
    b"\xff",
    b"\x80",
    b"g",
];

#[test]
fn transformations_are_those_of_libmodsecurity() {
    let Some(mut oracle) = Oracle::start() else { return };
    let mut report = String::new();
    let mut explained = 0usize;
    for d in TRANSFORMS {
        let mut dice = Dice(7);
        let mut wrong = 0;
        for i in 0..VALUES {
            let value = dice.text(PIECES, 1 + i % 12);
            let mut ours = Vec::new();
            (d.apply)(&value, &mut ours);
            let theirs = oracle.transform(if d.name == "cmdLine" { "cmd_line" } else { d.name }, &value);
            if ours == theirs {
                continue;
            }
            if why(d.name, &value, &ours, &theirs).is_some() {
                explained += 1;
                continue;
            }
            wrong += 1;
            if wrong <= 6 {
                report.push_str(&format!(
                    "{}({:?}): {:?}, libmodsecurity {:?}\n",
                    d.name,
                    String::from_utf8_lossy(&value),
                    String::from_utf8_lossy(&ours),
                    String::from_utf8_lossy(&theirs)
                ));
            }
        }
        if wrong > 0 {
            report.push_str(&format!("{}: {wrong} of {VALUES}\n", d.name));
        }
    }
    println!(
        "transformations: {} values, {explained} explained differences",
        VALUES * TRANSFORMS.len()
    );
    assert!(report.is_empty(), "{report}");
}

/// Why the results may differ, checked as far as a reason can be.
fn why(name: &str, value: &[u8], ours: &[u8], theirs: &[u8]) -> Option<&'static str> {
    let up_to_nul = |t: &[u8]| t.iter().take_while(|b| **b != 0).count();
    match name {
        "cssDecode" if theirs == &ours[..up_to_nul(ours)] => Some("a C string ends at NUL, which hides what follows"),
        "utf8toUnicode" if ours.iter().filter(|b| **b != 0).eq(theirs) => Some("a C string holds no NUL"),
        "base64Decode" if ours.starts_with(theirs) || up_to_nul(value) < value.len() => {
            Some("a broken text gives nothing there; ModSecurity 2 and Coraza decode what comes before the break")
        }
        "sqlHexDecode" if ours.starts_with(theirs) => Some("the last byte and what follows a NUL are lost there"),
        "base64DecodeExt" if theirs.is_empty() && value.ends_with(b"9") => {
            Some("the digit 9 has the number of the padding's byte there, and is taken for it at the end")
        }
        "normalizePath" | "normalizePathWin" if theirs.is_empty() && ours == b"/" => Some("the root vanishes there"),
        "normalizePathWin" if theirs.contains(&b'\\') => Some("a backslash behind repeated slashes stays there"),
        "normalizePath" | "normalizePathWin" if has_odd_segment(value, name) => {
            Some("there a segment that only ends in two dots removes itself, which hides it")
        }
        _ => None,
    }
}

/// A segment that ends with a dot and is neither `.` nor `..`.
fn has_odd_segment(value: &[u8], name: &str) -> bool {
    let win = name == "normalizePathWin";
    value
        .split(|b| *b == b'/' || win && *b == b'\\')
        .any(|s| s.ends_with(b".") && s != b"." && s != b"..")
}
