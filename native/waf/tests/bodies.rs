//! Bodies beside libmodsecurity's reading of them, on thousands made of what parsers look at.

#[allow(dead_code, reason = "each test file uses its own part")]
#[path = "common/oracle.rs"]
mod oracle;

use std::collections::BTreeMap;

use cnx_waf::body::{self, Sink};
use cnx_waf::engine::Limit;
use cnx_waf::seclang::variable::Var;
use oracle::{Dice, Oracle};

type Pair = (Vec<u8>, Vec<u8>);

/// What a parser finds.
#[derive(Default)]
struct Found {
    arguments: Vec<Pair>,
    items: BTreeMap<&'static str, Vec<Pair>>,
    flags: Vec<&'static str>,
}

impl Sink for Found {
    fn argument(&mut self, name: &[u8], value: &[u8]) -> bool {
        self.arguments.push((name.to_vec(), value.to_vec()));
        true
    }
    fn item(&mut self, var: Var, key: &[u8], value: &[u8]) {
        self.items
            .entry(var.name())
            .or_default()
            .push((key.to_vec(), value.to_vec()));
    }
    fn flag(&mut self, var: Var) {
        self.flags.push(var.name());
    }
    fn number(&mut self, _: Var, _: i64) {}
    fn exceed(&mut self, _: Limit) {}
}

/// What libmodsecurity finds, by collection.
struct Theirs(BTreeMap<String, Vec<Pair>>);

impl Theirs {
    fn ask(oracle: &mut Oracle, content_type: &[u8], body: &[u8]) -> Self {
        let mut out: BTreeMap<String, Vec<Pair>> = BTreeMap::new();
        for (collection, key, value) in oracle.body(content_type, body) {
            out.entry(collection).or_default().push((key, value));
        }
        Self(out)
    }

    fn sorted(&self, collection: &str) -> Vec<Pair> {
        sorted(self.0.get(collection).cloned().unwrap_or_default())
    }

    fn is_set(&self, variable: &str) -> bool {
        self.0.get(variable).is_some_and(|l| l.iter().any(|(_, v)| v == b"1"))
    }

    fn error(&self) -> String {
        let text = self
            .0
            .get("REQBODY_ERROR_MSG")
            .and_then(|l| l.first())
            .map(|(_, v)| v.clone());
        String::from_utf8_lossy(&text.unwrap_or_default()).into_owned()
    }
}

fn sorted(mut list: Vec<Pair>) -> Vec<Pair> {
    list.sort();
    list
}

fn shown(list: &[Pair]) -> Vec<(String, String)> {
    let text = |t: &[u8]| t.escape_ascii().to_string();
    list.iter().map(|(n, v)| (text(n), text(v))).collect()
}

/// Differences without a reason, a few of them whole.
#[derive(Default)]
struct Report {
    text: String,
    wrong: usize,
    explained: usize,
}

impl Report {
    fn differ(&mut self, body: &[u8], why: Option<&str>, what: &dyn Fn() -> String) {
        if why.is_some() {
            self.explained += 1;
            return;
        }
        self.wrong += 1;
        if self.wrong <= 8 {
            self.text
                .push_str(&format!("{:?}\n  {}\n", body.escape_ascii().to_string(), what()));
        }
    }

    fn close(self, name: &str, count: usize) {
        println!("{name}: {count} bodies, {} explained differences", self.explained);
        assert!(self.wrong == 0, "{name}: {} of {count}\n{}", self.wrong, self.text);
    }
}

const RULES: &str = "SecRuleEngine On\nSecRequestBodyAccess On\n\
    SecRule REQUEST_HEADERS:Content-Type \"@rx json\" \"id:1,phase:1,pass,nolog,ctl:requestBodyProcessor=JSON\"\n\
    SecRule REQUEST_HEADERS:Content-Type \"@rx xml\" \"id:2,phase:1,pass,nolog,ctl:requestBodyProcessor=XML\"\n\
    SecRule XML:/* \"@unconditionalMatch\" \"id:3,phase:2,pass,nolog,setvar:'tx.text=%{tx.text}|%{MATCHED_VAR}'\"\n\
    SecRule XML://@* \"@unconditionalMatch\" \"id:4,phase:2,pass,nolog,setvar:'tx.values=%{tx.values}|%{MATCHED_VAR}'\"\n\
    SecRule REQBODY_PROCESSOR \"@streq XML\" \"id:5,phase:2,pass,log,logdata:'%{tx.text}'\"\n\
    SecRule REQBODY_PROCESSOR \"@streq XML\" \"id:6,phase:2,pass,log,logdata:'%{tx.values}'\"\n";

fn oracle() -> Option<Oracle> {
    let mut oracle = Oracle::start()?;
    oracle.rules(RULES);
    Some(oracle)
}

#[test]
fn url_encoded_bodies_are_read_alike() {
    const PIECES: &[&[u8]] = &[
        b"a", b"b=1", b"&", b"=", b"%41", b"%", b"%4", b"%zz", b"+", b"&&", b"a=b=c", b"%00", b"\xff", b"%26", b"%3d",
        b";", b"%u0041",
    ];
    let Some(mut oracle) = oracle() else { return };
    let (mut dice, mut report, count) = (Dice(1), Report::default(), 4000);
    for _ in 0..count {
        let text = dice.text(PIECES, 9);
        let mut ours = Found::default();
        body::urlencoded::parse(&text, b'&', &mut Default::default(), &mut ours);
        let ours = sorted(ours.arguments);
        let theirs = Theirs::ask(&mut oracle, b"application/x-www-form-urlencoded", &text).sorted("ARGS_POST");
        if ours != theirs {
            let empty = |(n, v): &Pair| !n.is_empty() || !v.is_empty();
            let without = |list: &[Pair]| list.iter().filter(|p| empty(p)).cloned().collect::<Vec<_>>();
            let why =
                (without(&ours) == without(&theirs)).then_some("two separators have an empty pair between them there");
            report.differ(&text, why, &|| format!("{:?} {:?}", shown(&ours), shown(&theirs)));
        }
    }
    report.close("URL-encoded", count);
}

#[test]
fn json_bodies_are_read_alike() {
    const PIECES: &[&[u8]] = &[
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b"\"a\"",
        b"\"b\":",
        b"{\"k\":1}",
        b"[1,2]",
        b"1",
        b"-0.5e3",
        b"true",
        b"null",
        b"\"\\u0041\\n\"",
        b"\"\\ud83d\\ude00\"",
        b"\"\\ud83d\"",
        b" ",
        b"\n",
        b"\"x",
        b"\\",
        b"01",
        b"\"\xff\"",
        b"\"\\x\"",
        b"\xef\xbb\xbf",
        b"{}",
        b"[]",
        b"\"a\":{\"b\":[",
        b"]}",
        b"\"\\u0000z\"",
    ];
    let Some(mut oracle) = oracle() else { return };
    let (mut dice, mut report, count) = (Dice(2), Report::default(), 12_000);
    let mut good = 0;
    for i in 0..count {
        let text = if i % 3 == 0 {
            dice.text(PIECES, 12)
        } else {
            document(&mut dice, 4)
        };
        let mut ours = Found::default();
        let result = body::json::parse(&text, 32, &mut Default::default(), &mut ours);
        let theirs = Theirs::ask(&mut oracle, b"application/json", &text);
        let failed = theirs.is_set("REQBODY_ERROR");
        good += usize::from(!failed);
        if text.is_empty() {
            continue;
        }
        let known = theirs.sorted("ARGS");
        let empty = |(_, v): &Pair| v.is_empty();
        // Empty objects and arrays give their names here, and nothing there.
        let has_empty = [b"{}", b"[]"].iter().any(|e| {
            let bare: Vec<u8> = text.iter().copied().filter(|b| !b.is_ascii_whitespace()).collect();
            bare.windows(2).any(|w| w == *e)
        });
        let same = sorted(ours.arguments.clone()) == known
            || has_empty && surplus(&ours.arguments, &known).is_some_and(|more| more.iter().all(empty));
        if failed != result.is_err() || (!failed && !same) {
            let why = json_reason(&text, failed, result);
            report.differ(&text, why, &|| {
                format!(
                    "{result:?} {:?}\n  {:?} {:?}",
                    shown(&ours.arguments),
                    theirs.error(),
                    shown(&theirs.sorted("ARGS"))
                )
            });
        }
    }
    assert!(good > count / 4, "only {good} documents are well-formed");
    report.close("JSON", count);
}

/// What a list has beside all of another; `None` when it has not all of it.
fn surplus(list: &[Pair], other: &[Pair]) -> Option<Vec<Pair>> {
    let mut left = list.to_vec();
    for one in other {
        let at = left.iter().position(|p| p == one)?;
        left.swap_remove(at);
    }
    Some(left)
}

/// Why the readings may differ, checked as far as a reason can be.
fn json_reason(text: &[u8], failed: bool, result: Result<(), &str>) -> Option<&'static str> {
    let holds = |part: &[u8]| text.windows(part.len()).any(|w| w == part);
    match (failed, result) {
        (false, Ok(())) if holds(b"\"\"") => Some("an empty key is called empty-key there"),
        (false, Ok(())) if holds(b"\\ud83d") => Some("half of a surrogate pair is a question mark there"),
        (false, Err("text follows the JSON body")) => Some("what follows and is not finished is not looked at there"),
        _ => None,
    }
}

/// A document that is mostly well-formed.
fn document(dice: &mut Dice, depth: usize) -> Vec<u8> {
    const SCALARS: &[&[u8]] = &[
        b"1",
        b"-0",
        b"1.5e+3",
        b"true",
        b"false",
        b"null",
        b"\"\"",
        b"\"a b\"",
        b"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
        b"\"\\u00e9\\u20AC\"",
        b"\"\xc3\xa9\"",
        b"12345678901234567890",
    ];
    const KEYS: &[&[u8]] = &[b"\"a\"", b"\"b.c\"", b"\"\"", b"\"array_0\"", b"\"\\u0061\"", b"\"a\""];
    let many = dice.roll(4);
    match if depth == 0 { 0 } else { dice.roll(3) } {
        0 => SCALARS[dice.roll(SCALARS.len())].to_vec(),
        1 => {
            let parts: Vec<Vec<u8>> = (0..many).map(|_| document(dice, depth - 1)).collect();
            [&b"["[..], &parts.join(&b", "[..]), b"]"].concat()
        }
        _ => {
            let parts: Vec<Vec<u8>> = (0..many)
                .map(|_| [KEYS[dice.roll(KEYS.len())], b":", &document(dice, depth - 1)].concat())
                .collect();
            [&b"{ "[..], &parts.join(&b","[..]), b"}"].concat()
        }
    }
}

#[test]
fn multipart_bodies_are_read_alike() {
    const LINES: &[&[u8]] = &[
        b"--B\r\n",
        b"--B\r\n",
        b"--B--\r\n",
        b"--B--",
        b"--B\n",
        b"--BX\r\n",
        b"-- B\r\n",
        b"Content-Disposition: form-data; name=\"a\"\r\n\r\n",
        b"Content-Disposition: form-data; name=b\r\n\r\n",
        b"Content-Disposition: form-data; name=\"f\"; filename=\"x.php\"\r\nContent-Type: text/plain\r\n\r\n",
        b"Content-Disposition: form-data; name='s'\r\n\r\n",
        b"content-disposition:form-data;name=\"c\"\r\n\r\n",
        b"Content-Disposition: form-data; name=\"a\\\"b\"\r\n\r\n",
        b"Content-Disposition: form-data; name=\"a\"; name=\"b\"\r\n\r\n",
        b"Content-Disposition: form-data name=\"a\"\r\n\r\n",
        b"Content-Disposition: attachment; name=\"a\"\r\n\r\n",
        b"Content-Disposition: form-data;\r\n name=\"fold\"\r\n\r\n",
        b"X: y\r\n\r\n",
        b"No colon\r\n\r\n",
        b"value\r\n",
        b"value",
        b"\r\n",
        b"\n",
        b"two\r\nlines\r\n",
        b"",
        b"Content-Disposition: form-data; name=\"d\"; filename*=UTF-8''%41.txt\r\n\r\n",
        b"Content-Disposition: form-data; name=\"g\"; filename=\"\"\r\n\r\n",
        b"Content-Transfer-Encoding: base64\r\n",
        b"\xff\x00\r\n",
        b"--B \r\n",
        b"--B-- \r\n",
        b"one\ntwo\r\n",
        b"\r--B\r",
    ];
    const TYPES: &[&[u8]] = &[
        b"multipart/form-data; boundary=B",
        b"multipart/form-data; boundary=B",
        b"multipart/form-data; boundary=\"B\"",
        b"multipart/form-data;boundary=B",
        b"multipart/form-data; boundary=B; boundary*0=C",
    ];
    const FLAGS: &[&str] = &[
        "MULTIPART_BOUNDARY_QUOTED",
        "MULTIPART_BOUNDARY_WHITESPACE",
        "MULTIPART_DATA_AFTER",
        "MULTIPART_DATA_BEFORE",
        "MULTIPART_HEADER_FOLDING",
        "MULTIPART_INVALID_HEADER_FOLDING",
        "MULTIPART_INVALID_PART",
        "MULTIPART_INVALID_QUOTING",
        "MULTIPART_LF_LINE",
        "MULTIPART_MISSING_SEMICOLON",
        "MULTIPART_UNMATCHED_BOUNDARY",
    ];
    let Some(mut oracle) = oracle() else { return };
    let (mut dice, mut report, count) = (Dice(3), Report::default(), 8000);
    let (mut good, mut unseen) = (0, 0);
    for i in 0..count {
        let kind = TYPES[dice.roll(TYPES.len())];
        let text = if i % 2 == 0 {
            dice.text(LINES, 10)
        } else {
            form(&mut dice, LINES)
        };
        if text.is_empty() {
            continue;
        }
        let mut ours = Found::default();
        let result = body::multipart::parse(&text, kind, 1000, &mut ours);
        let theirs = Theirs::ask(&mut oracle, kind, &text);
        // What libmodsecurity warns of, by an error or a flag, must be warned of here.
        let theirs_strict = theirs.is_set("REQBODY_ERROR") || FLAGS.iter().any(|f| theirs.is_set(f));
        let ours_strict = result.is_err() || !ours.flags.is_empty();
        good += usize::from(!theirs_strict);
        if theirs_strict && !ours_strict {
            unseen += 1;
            let why = (text == b"--B--").then_some("there a form without fields needs its last line end");
            report.differ(&text, why, &|| {
                let set: Vec<_> = FLAGS.iter().filter(|f| theirs.is_set(f)).collect();
                format!("nothing is wrong here, there {:?} {set:?}", theirs.error())
            });
            continue;
        }
        // What is warned of here alone has a reason: everything else would be refused for nothing.
        if ours_strict && !theirs_strict {
            let delimiters = || text.windows(3).filter(|w| w == b"--B").count();
            let why = match result {
                Err("a part has two dispositions") => Some("there the last one counts"),
                Ok(()) if ours.flags.contains(&"MULTIPART_UNMATCHED_BOUNDARY") && delimiters() > 1 => {
                    Some("there a delimiter counts at the begin of a line alone")
                }
                Ok(()) if ours.flags.iter().all(|f| *f == "MULTIPART_INVALID_PART") && text.contains(&b'\r') => {
                    Some("there a bare CR may stand in a head")
                }
                _ => None,
            };
            report.differ(&text, why, &|| {
                format!("nothing is wrong there, here {result:?} {:?}", ours.flags)
            });
            continue;
        }
        // Where nobody warns, everybody finds the same.
        if !theirs_strict && !ours_strict {
            let mine = |n: &str| sorted(ours.items.get(n).cloned().unwrap_or_default());
            for (name, a, b) in [
                ("ARGS_POST", sorted(ours.arguments.clone()), theirs.sorted("ARGS_POST")),
                ("FILES", mine("FILES"), theirs.sorted("FILES")),
                ("FILES_NAMES", mine("FILES_NAMES"), theirs.sorted("FILES_NAMES")),
                (
                    "MULTIPART_PART_HEADERS",
                    mine("MULTIPART_PART_HEADERS"),
                    theirs.sorted("MULTIPART_PART_HEADERS"),
                ),
            ] {
                // There the second header with a name is lost.
                let all = plain(&a);
                if name == "MULTIPART_PART_HEADERS" && all != plain(&b) && plain(&b).iter().all(|h| all.contains(h)) {
                    report.explained += 1;
                    continue;
                }
                // There line ends inside of values are lost, and header lines have theirs.
                if plain(&a) != plain(&b) {
                    report.differ(&text, None, &|| format!("{name} {:?}\n  {:?}", shown(&a), shown(&b)));
                    break;
                }
            }
        }
    }
    assert!(good > count / 20, "only {good} bodies are well-formed");
    println!("multipart: {good} bodies without warnings, {unseen} that only libmodsecurity warns of");
    report.close("multipart", count);
}

fn plain(list: &[Pair]) -> Vec<Pair> {
    let kept = |t: &[u8]| {
        t.iter()
            .copied()
            .filter(|b| !matches!(b, b'\r' | b'\n'))
            .collect::<Vec<u8>>()
    };
    sorted(list.iter().map(|(k, v)| (k.clone(), kept(v))).collect())
}

/// A body that is mostly well-formed.
fn form(dice: &mut Dice, lines: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    for _ in 0..=dice.roll(3) {
        out.extend_from_slice(b"--B\r\n");
        out.extend_from_slice(lines[[7, 8, 9, 26][dice.roll(4)]]);
        out.extend_from_slice([&b"v\r\n"[..], b"\r\n", b"a\r\nb\r\n", b"--x\r\n", b"a\nb\r\n"][dice.roll(5)]);
    }
    out.extend_from_slice(b"--B--\r\n");
    if dice.roll(4) == 0 {
        let at = dice.roll(out.len());
        let line = lines[dice.roll(lines.len())];
        out.splice(at..at, line.iter().copied());
    }
    out
}

#[test]
fn xml_bodies_are_read_alike() {
    const PIECES: &[&[u8]] = &[
        b"<a>",
        b"</a>",
        b"<b x=\"1\" y='2 &lt; 3'>",
        b"</b>",
        b"<c/>",
        b"text",
        b"&amp;",
        b"&#65;",
        b"<![CDATA[<x>&]]>",
        b"<!-- c -->",
        b"<?pi x?>",
        b" ",
        b"\n",
        b"<d z=\"&#x42;\"/>",
        b"&lt;",
        b"\xc3\xa9",
        b"<e n:q=\"v\" xmlns:n=\"u\"/>",
    ];
    let Some(mut oracle) = oracle() else { return };
    let (mut dice, mut report, count) = (Dice(4), Report::default(), 4000);
    let mut good = 0;
    for _ in 0..count {
        let inner = dice.text(PIECES, 8);
        let text = [&b"<r>"[..], &inner, b"</r>"].concat();
        let mut ours = Found::default();
        let result = body::xml::parse(&text, &mut ours);
        let theirs = Theirs::ask(&mut oracle, b"text/xml", &text);
        let failed = theirs.is_set("REQBODY_ERROR");
        good += usize::from(!failed);
        let all = ours.items.get("XML").cloned().unwrap_or_default();
        let joined = |key: &[u8]| {
            let list = all.iter().filter(|(k, v)| k == key && !(key == b"/*" && v.is_empty()));
            list.flat_map(|(_, v)| [b"|", v.as_slice()].concat())
                .collect::<Vec<u8>>()
        };
        let logged = |rule: &[u8]| {
            let list = theirs.0.get("logdata").cloned().unwrap_or_default();
            list.into_iter()
                .find(|(k, _)| k == rule)
                .map(|(_, v)| v)
                .unwrap_or_default()
        };
        let (text_ours, mut text_theirs) = (joined(b"/*"), logged(b"5"));
        if text_theirs == b"|" {
            text_theirs.clear();
        }
        let (values_ours, values_theirs) = (joined(b"//@*"), logged(b"6"));
        let same = text_ours == text_theirs && values_ours == values_theirs;
        // What libmodsecurity cannot read must be an error here; what it reads, found alike.
        if failed != result.is_err() || (!failed && !same) {
            let why = xml_reason(&text, failed, result);
            report.differ(&text, why, &|| {
                format!(
                    "{result:?} {:?} {:?}\n  {:?} {:?} {:?}",
                    text_ours.escape_ascii().to_string(),
                    values_ours.escape_ascii().to_string(),
                    theirs.error(),
                    text_theirs.escape_ascii().to_string(),
                    values_theirs.escape_ascii().to_string()
                )
            });
        }
    }
    assert!(good > count / 20, "only {good} documents are well-formed");
    report.close("XML", count);
}

fn xml_reason(_text: &[u8], _failed: bool, _result: Result<(), &str>) -> Option<&'static str> {
    None
}
