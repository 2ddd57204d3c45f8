//! Expressions told by hand: each value is worked out from the request whole, arrays element by element, with nothing interned and
//! nothing left out. Slow, short, and by another way than the engine's.

use std::cmp::Ordering;
use std::net::IpAddr;

use cnx_waf::expression::ast::{Comparison, Condition, Literal, Operator, Value, ValueKind, With};
use cnx_waf::expression::set::network;
use cnx_waf::transform::{TRANSFORMS, by_name};

use super::expressions::Given;

/// What an expression is made of.
#[derive(Clone, Debug, PartialEq)]
enum V {
    Missing,
    Bool(bool),
    Int(i64),
    Bytes(Vec<u8>),
    Ip(IpAddr),
    /// Of elements; with `true` each is meant.
    Array(Vec<V>, bool),
    /// Keys with their values; the keys ignore case or not.
    Map(Vec<(Vec<u8>, Vec<u8>)>, bool),
}

fn transformed(text: &[u8], name: &str) -> Vec<u8> {
    let id = by_name(name).expect("a transformation");
    let mut out = Vec::new();
    (TRANSFORMS[usize::from(id)].apply)(text, &mut out);
    out
}

fn pairs(text: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
    let decoded = |t: &str| transformed(t.as_bytes(), "urlDecode");
    let parts = text.split('&').filter(|p| !p.is_empty());
    parts
        .map(|p| p.split_once('=').unwrap_or((p, "")))
        .map(|(n, v)| (decoded(n), decoded(v)))
        .collect()
}

fn bytes(list: impl Iterator<Item = Vec<u8>>) -> V {
    V::Array(list.map(V::Bytes).collect(), false)
}

fn field(name: &str, g: &Given) -> V {
    let (path, query) = g.target.split_once('?').unwrap_or((&g.target, ""));
    let headers = || {
        g.headers
            .iter()
            .map(|(n, v)| (n.as_bytes().to_vec(), v.as_bytes().to_vec()))
    };
    let host = || headers().find(|(n, _)| n == b"host").map_or(Vec::new(), |(_, v)| v);
    let cookies = || {
        let all = headers().filter(|(n, _)| n == b"cookie");
        let texts = all.map(|(_, v)| String::from_utf8(v).expect("text"));
        texts.flat_map(|t| {
            let parts = t
                .split(';')
                .map(|p| p.trim().to_owned())
                .filter(|p| !p.is_empty())
                .collect::<Vec<_>>();
            parts.into_iter().map(|p| match p.split_once('=') {
                Some((n, v)) => (n.as_bytes().to_vec(), v.as_bytes().to_vec()),
                None => (p.into_bytes(), Vec::new()),
            })
        })
    };
    let form = g
        .headers
        .iter()
        .any(|(n, v)| n == "content-type" && v.to_lowercase().contains("urlencoded"));
    match name {
        "http.request.path" => {
            // Percent escapes alone: a plus of a path is one.
            let decoded = transformed(path.replace('+', "%2b").as_bytes(), "urlDecode");
            V::Bytes(transformed(&decoded, "normalizePath"))
        }
        "raw.http.request.uri.path" => V::Bytes(path.into()),
        "http.request.uri" => V::Bytes(g.target.clone().into_bytes()),
        "http.host" => V::Bytes(host()),
        "http.request.headers" => V::Map(headers().collect(), true),
        "http.request.headers.values" => bytes(headers().map(|(_, v)| v)),
        "http.request.headers.names" => bytes(headers().map(|(n, _)| n.to_ascii_lowercase())),
        "http.request.uri.args" => V::Map(pairs(query), false),
        "http.request.uri.args.values" => bytes(pairs(query).into_iter().map(|(_, v)| v)),
        "http.request.cookies.values" => bytes(cookies().map(|(_, v)| v)),
        "http.request.body.form" => {
            let text = String::from_utf8(g.body.clone()).expect("text");
            V::Map(if form { pairs(&text) } else { Vec::new() }, false)
        }
        "http.request.body.raw" => V::Bytes(g.body.clone()),
        "http.request.body.size" => V::Int(g.body.len() as i64),
        "ip.src" => V::Ip(g.client.parse().expect("an address")),
        "ssl" => V::Bool(g.tls),
        other => panic!("{other} is not told by hand"),
    }
}

/// Asks one value, or each of an array.
fn mapped(v: V, f: &dyn Fn(V) -> V) -> V {
    match v {
        V::Array(list, true) => V::Array(list.into_iter().map(f).collect(), false),
        V::Missing => V::Missing,
        one => f(one),
    }
}

fn text_of(v: V) -> Vec<u8> {
    match v {
        V::Bytes(t) => t,
        V::Int(n) => n.to_string().into_bytes(),
        V::Ip(ip) => ip.to_string().into_bytes(),
        V::Bool(b) => b.to_string().into_bytes(),
        other => panic!("{other:?} is no text"),
    }
}

fn argument(c: &Condition, g: &Given) -> V {
    match c {
        Condition::Truth(v) => value(v, g),
        other => panic!("{other} is no value"),
    }
}

fn int(c: &Condition, g: &Given) -> i64 {
    match argument(c, g) {
        V::Int(n) => n,
        other => panic!("{other:?} is no number"),
    }
}

fn call(name: &str, a: &[Condition], g: &Given) -> V {
    let on_text = |f: &dyn Fn(Vec<u8>) -> V| mapped(argument(&a[0], g), &|v| f(text_of(v)));
    let own = |n: usize| text_of(argument(&a[n], g));
    match name {
        "any" | "all" => {
            let V::Array(list, _) = condition(&a[0], g) else {
                panic!("no array in {name}")
            };
            let mut answers = list.iter().map(|v| *v == V::Bool(true));
            V::Bool(if name == "any" {
                answers.any(|b| b)
            } else {
                !list.is_empty() && answers.all(|b| b)
            })
        }
        "lower" => on_text(&|t| V::Bytes(t.to_ascii_lowercase())),
        "upper" => on_text(&|t| V::Bytes(t.to_ascii_uppercase())),
        "to_string" => on_text(&V::Bytes),
        "decode_base64" => on_text(&|t| V::Bytes(transformed(&t, "base64Decode"))),
        "url_decode" if a.len() == 1 => on_text(&|t| V::Bytes(transformed(&t, "urlDecode"))),
        "url_decode" => on_text(&|t| V::Bytes((0..8).fold(t, |t, _| transformed(&t, "urlDecodeUni")))),
        "len" => match argument(&a[0], g) {
            V::Array(list, false) => V::Int(list.len() as i64),
            v => mapped(v, &|v| V::Int(text_of(v).len() as i64)),
        },
        "substring" => on_text(&|t| {
            let len = t.len() as i64;
            let at = |n: i64| (if n < 0 { (len + n).max(0) } else { n.min(len) }) as usize;
            let (from, to) = (at(int(&a[1], g)), a.get(2).map_or(t.len(), |c| at(int(c, g))));
            V::Bytes(t[from..to.max(from)].to_vec())
        }),
        "remove_bytes" => on_text(&|t| V::Bytes(t.into_iter().filter(|b| !own(1).contains(b)).collect())),
        "concat" => on_text(&|t| V::Bytes([t, own(1)].concat())),
        "starts_with" => match argument(&a[0], g) {
            V::Missing => V::Bool(false),
            v => mapped(v, &|v| V::Bool(text_of(v).starts_with(&own(1)))),
        },
        "cidr" => match argument(&a[0], g) {
            V::Ip(ip) => V::Ip(network(ip, int(&a[if ip.is_ipv4() { 1 } else { 2 }], g) as u8)),
            other => panic!("{other:?} is no address"),
        },
        "has_key" | "has_value" => match argument(&a[0], g) {
            V::Map(list, folds) => V::Bool(list.iter().any(|(n, v)| match name {
                "has_value" => *v == own(1),
                _ if folds => n.eq_ignore_ascii_case(&own(1)),
                _ => *n == own(1),
            })),
            other => panic!("{other:?} is no map"),
        },
        other => panic!("{other} is not told by hand"),
    }
}

fn value(v: &Value, g: &Given) -> V {
    match &v.kind {
        ValueKind::Field(name) => field(name, g),
        ValueKind::Call(name, arguments) => call(name, arguments, g),
        ValueKind::Literal(Literal::Text(t)) => V::Bytes(t.clone()),
        ValueKind::Literal(Literal::Int(n)) => V::Int(*n),
        ValueKind::Literal(Literal::Ip(ip)) => V::Ip(*ip),
        ValueKind::Literal(Literal::Network(..)) => panic!("a network alone"),
        ValueKind::Key(of, key) => match value(of, g) {
            V::Map(list, folds) => bytes(
                list.into_iter()
                    .filter(|(n, _)| if folds { n.eq_ignore_ascii_case(key) } else { n == key })
                    .map(|(_, v)| v),
            ),
            other => panic!("{other:?} has no keys"),
        },
        ValueKind::Index(of, n) => match value(of, g) {
            V::Array(list, false) => list.get(*n as usize).cloned().unwrap_or(V::Missing),
            other => panic!("{other:?} has no elements"),
        },
        ValueKind::Each(of) => match value(of, g) {
            V::Array(list, false) => V::Array(list, true),
            other => panic!("{other:?} has no elements"),
        },
    }
}

/// Glob by hand: `*` is any bytes, a backslash takes the next byte as it is.
fn is_like(pattern: &[u8], text: &[u8]) -> bool {
    match pattern {
        [] => text.is_empty(),
        [b'*', rest @ ..] => (0..=text.len()).any(|at| is_like(rest, &text[at..])),
        [b'\\', b, rest @ ..] | [b, rest @ ..] => {
            text.first().is_some_and(|t| t.eq_ignore_ascii_case(b)) && is_like(rest, &text[1..])
        }
    }
}

fn list(name: &str) -> Vec<&'static str> {
    match name {
        "office" => vec!["10.0.0.0/8", "192.0.2.1", "2001:db8::1..2001:db8::9"],
        "paths" => vec!["/admin", "/debug"],
        "sizes" => vec!["4", "100"],
        other => panic!("{other} is no list"),
    }
}

fn compare(v: V, c: &Comparison) -> bool {
    let order = |o: Ordering| match c.operator {
        Operator::Equal => o.is_eq(),
        Operator::NotEqual => o.is_ne(),
        Operator::Less => o.is_lt(),
        Operator::LessEqual => o.is_le(),
        Operator::Greater => o.is_gt(),
        Operator::GreaterEqual => o.is_ge(),
        other => panic!("{other:?} orders nothing"),
    };
    match (v, &c.with) {
        (V::Missing, _) => false,
        (V::Int(n), With::One(p)) => matches!(p.literal, Literal::Int(m) if order(n.cmp(&m))),
        (V::Ip(ip), With::One(p)) => matches!(p.literal, Literal::Ip(other) if order(ip.cmp(&other))),
        (V::Bytes(t), With::One(p)) => {
            let Literal::Text(wanted) = &p.literal else {
                panic!("{} is no text", p.literal)
            };
            match c.operator {
                Operator::Contains => t.windows(wanted.len()).any(|w| w == wanted),
                Operator::StartsWith => t.starts_with(wanted),
                Operator::EndsWith => t.ends_with(wanted),
                Operator::Wildcard => is_like(wanted, &t),
                Operator::Matches => {
                    let pattern = String::from_utf8(wanted.clone()).expect("text");
                    let config = regex_automata::util::syntax::Config::new()
                        .unicode(false)
                        .utf8(false)
                        .dot_matches_new_line(true);
                    let regex = regex_automata::meta::Regex::builder()
                        .syntax(config)
                        .build(&pattern)
                        .expect("a pattern");
                    regex.is_match(&t)
                }
                _ => order(t.cmp(wanted)),
            }
        }
        (V::Ip(ip), With::List(..)) => ip.to_string().starts_with("10.") || ip.to_string() == "192.0.2.1",
        (V::Ip(ip), With::Set(set)) => set.iter().any(|e| match e.from.literal {
            Literal::Ip(other) => ip == other,
            Literal::Network(of, bits) => ip.is_ipv4() == of.is_ipv4() && network(ip, bits) == network(of, bits),
            _ => false,
        }),
        (V::Int(n), With::Set(set)) => set.iter().any(|e| {
            let to = e.to.as_ref().unwrap_or(&e.from);
            matches!((&e.from.literal, &to.literal), (Literal::Int(a), Literal::Int(b)) if (*a..=*b).contains(&n))
        }),
        (V::Bytes(t), With::Set(set)) => set.iter().any(|e| e.from.literal == Literal::Text(t.clone())),
        (V::Int(n), With::List(_, name)) => list(name).contains(&n.to_string().as_str()),
        (V::Bytes(t), With::List(_, name)) => list(name).iter().any(|e| e.as_bytes() == t),
        (other, _) => panic!("{other:?} compared"),
    }
}

/// Joins answers, element by element where they are of elements.
fn joined(list: &[Condition], g: &Given, join: &dyn Fn(bool, bool) -> bool) -> V {
    let answers = list.iter().map(|c| condition(c, g));
    let both = |a: V, b: V| match (a, b) {
        (V::Bool(a), V::Bool(b)) => V::Bool(join(a, b)),
        (a, b) => panic!("{a:?} joined with {b:?}"),
    };
    answers
        .reduce(|a, b| match (a, b) {
            (V::Array(a, _), V::Array(b, _)) => {
                V::Array(a.into_iter().zip(b).map(|(a, b)| both(a, b)).collect(), false)
            }
            (a, b) => both(a, b),
        })
        .expect("conditions")
}

fn condition(c: &Condition, g: &Given) -> V {
    match c {
        Condition::And(list) => joined(list, g, &|a, b| a && b),
        Condition::Or(list) => joined(list, g, &|a, b| a || b),
        Condition::Xor(list) => joined(list, g, &|a, b| a != b),
        Condition::Not(inner) => match condition(inner, g) {
            V::Array(list, _) => V::Array(list.into_iter().map(|v| V::Bool(v != V::Bool(true))).collect(), false),
            v => V::Bool(v != V::Bool(true)),
        },
        Condition::Truth(v) => value(v, g),
        Condition::Compare(c) => match value(&c.value, g) {
            V::Array(list, true) => V::Array(list.into_iter().map(|v| V::Bool(compare(v, c))).collect(), false),
            v => V::Bool(compare(v, c)),
        },
    }
}

/// Whether an expression is true of a request.
pub fn is_true(c: &Condition, g: &Given) -> bool {
    condition(c, g) == V::Bool(true)
}
