//! The table of transformations. Each is a function from bytes to bytes and the set of bytes without which it is the
//! identity, so that most values of ordinary requests are never copied.

mod base64;
mod case;
mod command;
mod comment;
mod css;
mod digest;
mod escape;
mod hex;
mod html;
mod js;
mod path;
mod space;
mod unicode;
mod url;

use crate::bytes::ByteSet;
use crate::seclang::diagnostic::{Problem, did_you_mean};
pub use base64::decode as base64_decode;
pub use url::{UnicodeMap, decode as url_decode, has_wrong_escape};

/// Index of a transformation in [`TRANSFORMS`].
pub type TransformId = u8;

/// When a transformation can change a value.
#[derive(Clone, Copy, Debug)]
pub enum Trigger {
    /// Any value.
    Always,
    /// Only values that hold one of these bytes.
    Bytes(ByteSet),
}

/// One row of the table.
#[derive(Debug)]
pub struct TransformDef {
    /// Name in SecLang.
    pub name: &'static str,
    /// Another name for the same.
    pub alias: &'static str,
    /// What it does.
    pub summary: &'static str,
    /// When it can change a value.
    pub trigger: Trigger,
    /// True when a value certainly stays as it is although it holds such bytes: cheaper than a copy.
    pub keeps: fn(&[u8]) -> bool,
    /// The result differs at most in the case of ASCII letters.
    pub folds_case: bool,
    /// Writes the result behind what `out` holds already.
    pub apply: fn(&[u8], &mut Vec<u8>),
    /// The result is at most this many times as long as the value, plus [`GROWTH_ADD`].
    pub growth: usize,
}

/// Bytes that any result may be longer than `growth` times its value.
pub const GROWTH_ADD: usize = 40;

macro_rules! transforms {
    ($($name:literal $alias:literal $trigger:expr, $growth:literal, $apply:path, $summary:literal;)*) => {
        /// All transformations.
        pub static TRANSFORMS: &[TransformDef] = &[
            $(TransformDef { name: $name, alias: $alias, summary: $summary, trigger: $trigger, keeps: keeps_of($name), folds_case: const_eq($name, "lowercase") || const_eq($name, "uppercase"), apply: $apply, growth: $growth },)*
        ];
    };
}

const fn const_eq(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut i = 0;
    while i < a.len() && i < b.len() && a[i] == b[i] {
        i += 1;
    }
    i == a.len() && i == b.len()
}

/// Paths without empty and dot segments and texts without comments are what most requests have.
const fn keeps_of(name: &str) -> fn(&[u8]) -> bool {
    if const_eq(name, "replaceComments") {
        |text| memchr::memchr_iter(b'/', text).all(|at| text.get(at + 1) != Some(&b'*'))
    } else if const_eq(name, "normalizePath") {
        path::is_normal
    } else if const_eq(name, "normalizePathWin") {
        |text| path::is_normal(text) && memchr::memchr(b'\\', text).is_none()
    } else if const_eq(name, "compressWhitespace") {
        space::is_compressed
    } else {
        |_| false
    }
}

const fn on(list: &[u8]) -> Trigger {
    Trigger::Bytes(ByteSet::of(list))
}

const SPACES: ByteSet = ByteSet::of(b" \t\n\r\x0b\x0c");
const NON_ASCII: ByteSet = ByteSet::range(0x80, 0xff);

transforms! {
    "base64Decode" "" Trigger::Always, 1, base64::decode, "base64 to bytes, up to the first character that does not belong to it";
    "base64DecodeExt" "" Trigger::Always, 1, base64::decode_ext, "base64 to bytes, other characters skipped";
    "base64Encode" "" Trigger::Always, 2, base64::encode, "bytes to base64";
    "cmdLine" "" Trigger::Bytes(ByteSet::range(b'A', b'Z').or(ByteSet::of(b" \t\r\n\\\"'^,;/("))), 1, command::cmd_line, "shell obfuscation removed";
    "compressWhitespace" "" Trigger::Bytes(SPACES), 1, space::compress, "each run of white space to one space";
    "cssDecode" "" on(b"\\"), 1, css::decode, "CSS escapes to bytes";
    "escapeSeqDecode" "" on(b"\\"), 1, escape::decode, "ANSI C escapes to bytes";
    "hexDecode" "" Trigger::Always, 1, hex::decode, "pairs of hexadecimal digits to bytes";
    "hexEncode" "" Trigger::Always, 2, hex::encode, "bytes to hexadecimal digits";
    "htmlEntityDecode" "" on(b"&"), 1, html::decode, "HTML entities to bytes";
    "jsDecode" "" on(b"\\"), 1, js::decode, "JavaScript escapes to bytes";
    "length" "" Trigger::Always, 1, digest::length, "the number of bytes";
    "lowercase" "" Trigger::Bytes(ByteSet::range(b'A', b'Z')), 1, case::lower, "A-Z to a-z";
    "md5" "" Trigger::Always, 1, digest::md5, "the MD5 digest, 16 bytes";
    "normalizePath" "normalisePath" on(b"/."), 1, path::normalize, "repeated slashes and dot segments removed";
    "normalizePathWin" "normalisePathWin" on(b"/.\\"), 1, path::normalize_win, "the same after backslashes became slashes";
    "parityEven7bit" "" Trigger::Always, 1, unicode::parity_even, "even parity in the eighth bit";
    "parityOdd7bit" "" Trigger::Always, 1, unicode::parity_odd, "odd parity in the eighth bit";
    "parityZero7bit" "" Trigger::Bytes(NON_ASCII), 1, unicode::parity_zero, "the eighth bit cleared";
    "removeComments" "" on(b"/-#<"), 1, comment::remove, "comments of C, SQL, shell and HTML removed";
    "removeCommentsChar" "" on(b"/-#*<"), 1, comment::remove_marks, "the marks of comments removed";
    "removeNulls" "" on(b"\0"), 1, space::remove_nulls, "NUL bytes removed";
    "removeWhitespace" "" Trigger::Bytes(SPACES.or(ByteSet::of(b"\xa0\xc2"))), 1, space::remove, "white space removed";
    "replaceComments" "" on(b"/"), 1, comment::replace, "each C comment to one space";
    "replaceNulls" "" on(b"\0"), 1, space::replace_nulls, "NUL bytes to spaces";
    "sha1" "" Trigger::Always, 1, digest::sha1, "the SHA-1 digest, 20 bytes";
    "sqlHexDecode" "" on(b"xX"), 1, hex::sql_decode, "0x… to bytes";
    "trim" "" Trigger::Bytes(SPACES), 1, space::trim, "white space at both ends removed";
    "trimLeft" "" Trigger::Bytes(SPACES), 1, space::trim_left, "white space at the begin removed";
    "trimRight" "" Trigger::Bytes(SPACES), 1, space::trim_right, "white space at the end removed";
    "uppercase" "" Trigger::Bytes(ByteSet::range(b'a', b'z')), 1, case::upper, "a-z to A-Z";
    "urlDecode" "" on(b"%+"), 1, url::decode, "percent escapes to bytes";
    "urlDecodeUni" "" on(b"%+"), 1, url::decode_uni, "percent and %u escapes to bytes";
    "urlEncode" "" Trigger::Always, 3, url::encode, "bytes to percent escapes";
    "utf8toUnicode" "" Trigger::Bytes(NON_ASCII), 4, unicode::utf8_to_unicode, "UTF-8 sequences to %u escapes";
}

/// Which transformations values trigger, as bits by [`TransformId`].
pub struct Triggers {
    /// Those that any value triggers.
    pub always: u64,
    by_byte: [u64; 256],
}

/// Of [`TRANSFORMS`].
pub static TRIGGERS: Triggers = Triggers::new();

impl Triggers {
    const fn new() -> Self {
        assert!(TRANSFORMS.len() <= 64, "each transformation is a bit");
        let mut out = Self {
            always: 0,
            by_byte: [0; 256],
        };
        let mut i = 0;
        while i < TRANSFORMS.len() {
            match &TRANSFORMS[i].trigger {
                Trigger::Always => out.always |= 1 << i,
                Trigger::Bytes(set) => {
                    let mut b = 0;
                    while b < 256 {
                        out.by_byte[b] |= (set.0[b / 64] >> (b % 64) & 1) << i;
                        b += 1;
                    }
                }
            }
            i += 1;
        }
        out
    }

    /// The transformations that could change a value with these bytes.
    pub fn of(&self, present: &ByteSet) -> u64 {
        let mut out = self.always;
        for (bytes, word) in self.by_byte.chunks(64).zip(present.0) {
            let mut left = word;
            while left != 0 {
                out |= bytes[left.trailing_zeros() as usize];
                left &= left - 1;
            }
        }
        out
    }
}

/// The transformation that a [`UnicodeMap`] changes.
pub const URL_DECODE_UNI: TransformId = place_of("urlDecodeUni");

const fn place_of(name: &str) -> TransformId {
    let mut i = 0;
    while i < TRANSFORMS.len() {
        if const_eq(TRANSFORMS[i].name, name) {
            return i as TransformId;
        }
        i += 1;
    }
    0
}

/// Looks a name up, ignoring case.
pub fn by_name(name: &str) -> Result<TransformId, Problem> {
    let found = TRANSFORMS
        .iter()
        .position(|d| d.name.eq_ignore_ascii_case(name) || (!d.alias.is_empty() && d.alias.eq_ignore_ascii_case(name)));
    found.and_then(|i| TransformId::try_from(i).ok()).ok_or_else(|| {
        Problem::new(
            format!("no transformation is called {name}"),
            did_you_mean(
                name,
                TRANSFORMS.iter().map(|d| d.name),
                "see the transformations in docs/seclang.md",
            ),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Applies a transformation by name.
    pub fn run(name: &str, input: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        (TRANSFORMS[usize::from(by_name(name).unwrap())].apply)(input, &mut out);
        out
    }

    #[test]
    fn transformations_give_the_known_answers() {
        let table: &[(&str, &[u8], &[u8])] = &[
            ("urlDecodeUni", b"a%20b+c%u0041%uff1c%zz%4", b"a b cA<%zz%4"),
            ("urlDecode", b"%3Cscript%3e%u0041", b"<script>%u0041"),
            ("urlEncode", b"a b/\xff-._*", b"a+b%2f%ff%2d%2e%5f*"),
            (
                "htmlEntityDecode",
                b"&lt;a&gt;&#x3C;&#60;&quot;&amp;&nbsp;&foo;&#;&",
                b"<a><<\"&\xa0&foo;&#;&",
            ),
            ("htmlEntityDecode", b"&#x3cscript", b"<script"),
            ("htmlEntityDecode", b"&#99999999999999999999;", b"\xff"),
            ("htmlEntityDecode", b"javascript&colon;&Tab;", b"javascript:\t"),
            ("jsDecode", br"\u003c\x3c\74\n\q\uff1c\", b"<<<\nq<\\"),
            ("cssDecode", br"\3c \00003cx\a", b"<<x\n"),
            ("cssDecode", b"ja\\vasc\\\nript\\", b"javascript"),
            ("escapeSeqDecode", br"\x41\101\n\\\q\x4\400\18", b"AA\n\\qx4\x00\x018"),
            ("utf8toUnicode", "aé€😀".as_bytes(), b"a%u00e9%u20ac%u1f600"),
            ("utf8toUnicode", b"\xc3(\xff\xc0\xaf", b"(\xff%u002f\xc0"),
            ("lowercase", b"AbC\xc4", b"abc\xc4"),
            ("uppercase", b"abC", b"ABC"),
            ("removeNulls", b"a\0b", b"ab"),
            ("replaceNulls", b"a\0b", b"a b"),
            ("removeWhitespace", b" a\t b\xc2\xa0", b"ab"),
            ("compressWhitespace", b"a \t\n b  ", b"a b "),
            ("trim", b" \ta b\n", b"a b"),
            ("trimLeft", b" a ", b"a "),
            ("trimRight", b" a ", b" a"),
            ("replaceComments", b"UNI/**/ON /* x", b"UNI ON  "),
            ("removeComments", b"a/*x*/b--c", b"ab"),
            ("removeComments", b"a<!--x-->b#c", b"ab"),
            ("removeComments", b"a/*x", b"a "),
            ("removeComments", b"a/*x-->/*y*/", b"a/*y*/"),
            ("removeComments", b"/**/", b"\0"),
            ("removeCommentsChar", b"a/*x*/b--c#<!---->d", b"axbcd"),
            ("normalizePath", b"/a//b/./../c/", b"/a/c/"),
            ("normalizePath", b"../../etc/passwd", b"../../etc/passwd"),
            ("normalizePath", b"a/../../b", b"../b"),
            ("normalizePath", b"/../../etc", b"/etc"),
            ("normalizePath", b"", b""),
            ("normalizePathWin", br"..\a\..\b", b"../b"),
            ("cmdLine", br#"C^MD.ex"e" ,;  /C (x'"#, b"cmd.exe/c(x"),
            ("length", b"abc", b"3"),
            ("length", b"", b"0"),
            ("base64Decode", b"SGVsbG8=", b"Hello"),
            ("base64Decode", b"SGVs-bG8=", b"Hel"),
            ("base64DecodeExt", b"SG-Vs bG8=", b"Hello"),
            ("base64DecodeExt", b"QQ==QQ==", b"A\x04\x10"),
            ("base64DecodeExt", b"QQQ=AA=A", b""),
            ("base64Encode", b"Hello", b"SGVsbG8="),
            ("hexDecode", b"4142a", b"AB"),
            ("hexDecode", b"4G", b"P"),
            ("hexEncode", b"A\xff", b"41ff"),
            ("sqlHexDecode", b"x 0x414243 0xz", b"x ABC 0xz"),
            ("parityZero7bit", b"\xc1", b"A"),
            ("parityEven7bit", b"A\x07\x81", b"A\x87\x01"),
            ("parityOdd7bit", b"A", b"\xc1"),
        ];
        for (name, input, want) in table {
            let got = run(name, input);
            assert_eq!(
                String::from_utf8_lossy(&got),
                String::from_utf8_lossy(want),
                "{name}({})",
                String::from_utf8_lossy(input)
            );
            assert_eq!(&got, want, "{name}");
        }
        assert_eq!(
            run("hexEncode", &run("sha1", b"abc")),
            b"a9993e364706816aba3e25717850c26c9cd0d89d"
        );
        assert_eq!(
            run("hexEncode", &run("sha1", &[b'a'; 119])),
            b"ee971065aaa017e0632a8ca6c77bb3bf8b1dfc56"
        );
        assert_eq!(
            run("hexEncode", &run("md5", b"abc")),
            b"900150983cd24fb0d6963f7d28e17f72"
        );
        assert_eq!(run("hexEncode", &run("md5", b"")), b"d41d8cd98f00b204e9800998ecf8427e");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn transformations_are_bounded_and_quiet_without_their_triggers(
            input in prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..200),
                proptest::collection::vec(proptest::sample::select(br"\%&#;xXuU0aAfF/*.-<!> '+(".to_vec()), 0..200),
            ]
        ) {
            for d in TRANSFORMS {
                let mut out = Vec::new();
                (d.apply)(&input, &mut out);
                prop_assert!(!(d.keeps)(&input) || out == input, "{} changed {:?}", d.name, input);
                prop_assert!(out.len() <= input.len() * d.growth + GROWTH_ADD, "{} grew to {}", d.name, out.len());
                if let Trigger::Bytes(set) = d.trigger
                    && !set.meets(&ByteSet::present_in(&input))
                {
                    prop_assert_eq!(&out, &input, "{} changed a value without a trigger byte", d.name);
                }
            }
        }
    }
}
