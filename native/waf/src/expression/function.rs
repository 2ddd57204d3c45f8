//! The table of functions.

use super::Fault;
use super::ast::{At, Condition, Literal, Value as Written, ValueKind};
use super::check::{Answer, Checker, Shape, Typed, kind_name, place_of, same_source};
use super::node::{Kind, Node, Order, Source, Test, Value};
use crate::bytes::ByteSet;
use crate::transform;

/// Most rounds of a recursive `url_decode`.
const DECODE_ROUNDS: u8 = 8;

/// Most arguments of `concat`.
pub const CONCAT_PARTS_MAX: usize = 16;

/// What a call is.
pub enum Made {
    /// A value.
    Value(Typed),
    /// A condition.
    Condition(Answer),
}

/// One row of the table.
pub struct FunctionDef {
    /// Name.
    pub name: &'static str,
    /// How it is called, with the types of its arguments and of what it gives.
    pub signature: &'static str,
    /// What it gives.
    pub summary: &'static str,
    /// Least and most arguments.
    pub count: (usize, usize),
    pub(super) make: fn(&mut Checker<'_>, At, &[Condition]) -> Result<Made, Fault>,
}

macro_rules! functions {
    ($($name:literal $count:expr, $make:expr, $signature:literal $summary:literal;)*) => {
        /// All functions.
        pub static FUNCTIONS: &[FunctionDef] = &[
            $(FunctionDef { name: $name, signature: $signature, summary: $summary, count: $count, make: $make },)*
        ];
    };
}

functions! {
    "all" (1, 1), |c, at, a| each(c, at, a, true), "all(condition on x[*]) → Bool" "there are elements, and the condition holds for all of them";
    "any" (1, 1), |c, at, a| each(c, at, a, false), "any(condition on x[*]) → Bool" "the condition holds for an element";
    "cidr" (3, 3), |c, _, a| cidr(c, &a[0], bits(&a[1], 32)?, bits(&a[2], 128)?), "cidr(Ip, bits of IPv4, bits of IPv6) → Ip" "the network address";
    "cidr6" (2, 2), |c, _, a| cidr(c, &a[0], 32, bits(&a[1], 128)?), "cidr6(Ip, bits of IPv6) → Ip" "the same, IPv4 addresses left as they are";
    "concat" (2, CONCAT_PARTS_MAX), concat, "concat(Bytes or Int, …) → Bytes" "one behind the other";
    "decode_base64" (1, 1), |c, _, a| step(c, &a[0], "base64Decode"), "decode_base64(Bytes) → Bytes" "base64 to bytes, up to the first character that does not belong to it";
    "ends_with" (2, 2), |c, at, a| affix(c, at, a, Test::EndsWith), "ends_with(Bytes, \"…\") → Bool" "the same as the operator";
    "has_key" (2, 2), has_key, "has_key(Map, \"key\") → Bool" "the map has a value with the key";
    "has_value" (2, 2), has_value, "has_value(Map or Array, \"…\") → Bool" "one of the values is the string";
    "len" (1, 1), len, "len(Bytes or Array) → Int" "bytes of a string, or elements of an array";
    "lower" (1, 1), |c, _, a| step(c, &a[0], "lowercase"), "lower(Bytes) → Bytes" "A-Z to a-z";
    "remove_bytes" (2, 2), remove_bytes, "remove_bytes(Bytes, \"…\") → Bytes" "without each byte that occurs in the string";
    "starts_with" (2, 2), |c, at, a| affix(c, at, a, Test::StartsWith), "starts_with(Bytes, \"…\") → Bool" "the same as the operator";
    "substring" (2, 3), substring, "substring(Bytes, from, to) → Bytes" "from one byte up to before another, or to the end; negative numbers count from the end";
    "to_string" (1, 1), to_string, "to_string(Int, Bool or Ip) → Bytes" "as text";
    "upper" (1, 1), |c, _, a| step(c, &a[0], "uppercase"), "upper(Bytes) → Bytes" "a-z to A-Z";
    "url_decode" (1, 2), url_decode, "url_decode(Bytes, \"ru\") → Bytes" "percent escapes and `+` decoded; with `r` again until nothing changes (8 times at most), with `u` %uHHHH too";
}

/// Functions that Cloudflare has and that are written otherwise here, or why they do not exist.
pub const ELSEWHERE: &[(&str, &str)] = &[
    ("bit_slice", "fields are strings; write substring"),
    (
        "encode_base64",
        "it is of use only where requests are edited; compare with the string itself",
    ),
    (
        "is_timed_hmac_valid_v0",
        "write a policy, or require a token on the route",
    ),
    ("join", "ask the elements: any(x[*] …)"),
    (
        "lookup_json_integer",
        "JSON is read already: write http.request.body.form[\"json.a.b\"][0]",
    ),
    (
        "lookup_json_string",
        "JSON is read already: write http.request.body.form[\"json.a.b\"][0]",
    ),
    (
        "regex_replace",
        "it is of use only where requests are edited; write matches",
    ),
    (
        "remove_query_args",
        "it is of use only where requests are edited; ask http.request.uri.args",
    ),
    (
        "sha256",
        "it is of use only where requests are edited; compare with the string itself",
    ),
    ("split", "write matches or contains"),
    ("uuidv4", "expressions are a function of the request"),
    (
        "wildcard_replace",
        "it is of use only where requests are edited; write wildcard",
    ),
];

/// Looks a name up.
pub fn by_name(name: &str) -> Option<&'static FunctionDef> {
    FUNCTIONS.iter().find(|f| f.name == name)
}

fn value_of(argument: &Condition) -> Result<&Written, Fault> {
    match argument {
        Condition::Truth(value) => Ok(value),
        other => Err(Fault::new(
            place_of(other),
            format!("{other} is a condition and no value"),
            "write a field, or a function of one",
        )),
    }
}

/// An argument that is one value, or each of many.
fn single(c: &mut Checker<'_>, argument: &Condition, kinds: &[Kind]) -> Result<(Value, Kind, Option<Source>), Fault> {
    let written = value_of(argument)?;
    let typed = c.value(written)?;
    let source = match &typed.shape {
        Shape::One => None,
        Shape::Each(source) => Some(source.clone()),
        Shape::Array(_) => {
            return Err(Fault::new(
                written.at,
                format!("{written} is {}, not one value", typed.name()),
                format!("write {written}[*] for each element, or {written}[0]"),
            ));
        }
        Shape::Map(_) => {
            return Err(Fault::new(
                written.at,
                format!("{written} is {}, not one value", typed.name()),
                format!("write {written}[\"key\"][*] or {written}.values[*]"),
            ));
        }
    };
    if !kinds.contains(&typed.kind) {
        let wanted: Vec<&str> = kinds.iter().map(|k| kind_name(*k)).collect();
        return Err(Fault::new(
            written.at,
            format!("{written} is {}", typed.name()),
            format!("{} is expected here", wanted.join(" or ")),
        ));
    }
    Ok((typed.value, typed.kind, source))
}

fn text(argument: &Condition) -> Result<Vec<u8>, Fault> {
    match argument {
        Condition::Truth(Written {
            kind: ValueKind::Literal(Literal::Text(t)),
            ..
        }) => Ok(t.clone()),
        other => Err(Fault::new(
            place_of(other),
            format!("{other} is no string"),
            "write \"…\"",
        )),
    }
}

fn number(argument: &Condition) -> Result<i64, Fault> {
    match argument {
        Condition::Truth(Written {
            kind: ValueKind::Literal(Literal::Int(n)),
            ..
        }) => Ok(*n),
        other => Err(Fault::new(
            place_of(other),
            format!("{other} is no number"),
            "write a number such as 4",
        )),
    }
}

fn bits(argument: &Condition, most: u8) -> Result<u8, Fault> {
    match u8::try_from(number(argument)?) {
        Ok(n) if (1..=most).contains(&n) => Ok(n),
        _ => Err(Fault::new(
            place_of(argument),
            format!("{argument} bits"),
            format!("write a number from 1 to {most}"),
        )),
    }
}

/// What a function gives: one value, or an array when it was asked of each element.
fn given(value: Value, kind: Kind, source: Option<Source>) -> Made {
    Made::Value(Typed {
        value,
        kind,
        shape: source.map_or(Shape::One, Shape::Array),
    })
}

fn transformed(value: Value, name: &str) -> Value {
    match transform::by_name(name) {
        Ok(id) => Value::Transform(Box::new(value), id),
        Err(_) => value,
    }
}

fn step(c: &mut Checker<'_>, argument: &Condition, name: &str) -> Result<Made, Fault> {
    let (value, _, source) = single(c, argument, &[Kind::Bytes])?;
    Ok(given(transformed(value, name), Kind::Bytes, source))
}

fn each(c: &mut Checker<'_>, at: At, a: &[Condition], all: bool) -> Result<Made, Fault> {
    match c.condition(&a[0])? {
        (node, Some(source)) => Ok(Made::Condition((Node::Each(source, Box::new(node), all), None))),
        (_, None) => Err(Fault::new(
            at,
            format!("{} asks no elements", a[0]),
            "write [*] behind an array, or leave any and all out",
        )),
    }
}

fn affix(c: &mut Checker<'_>, at: At, a: &[Condition], test: fn(Vec<u8>) -> Test) -> Result<Made, Fault> {
    let (value, _, source) = single(c, &a[0], &[Kind::Bytes])?;
    let text = text(&a[1])?;
    if text.is_empty() {
        return Err(Fault::new(
            at,
            "an empty string is always there",
            "write what it begins or ends with",
        ));
    }
    Ok(Made::Condition((Node::Compare(value, test(text)), source)))
}

fn cidr(c: &mut Checker<'_>, argument: &Condition, v4: u8, v6: u8) -> Result<Made, Fault> {
    let (value, _, source) = single(c, argument, &[Kind::Ip])?;
    Ok(given(Value::Network(Box::new(value), v4, v6), Kind::Ip, source))
}

fn concat(c: &mut Checker<'_>, at: At, a: &[Condition]) -> Result<Made, Fault> {
    let mut list = Vec::with_capacity(a.len());
    let mut source = None;
    for argument in a {
        if let Ok(text) = text(argument) {
            list.push(Value::Text(text));
            continue;
        }
        let (value, kind, of) = single(c, argument, &[Kind::Bytes, Kind::Int])?;
        source = same_source(source, of, at)?;
        list.push(match kind {
            Kind::Bytes => value,
            kind => Value::Print(Box::new(value), kind),
        });
    }
    Ok(given(Value::Concat(list), Kind::Bytes, source))
}

fn map_or_array(c: &mut Checker<'_>, argument: &Condition) -> Result<(Typed, Source), Fault> {
    let written = value_of(argument)?;
    let typed = c.value(written)?;
    match &typed.shape {
        Shape::Map(source) | Shape::Array(source) => {
            let source = source.clone();
            Ok((typed, source))
        }
        _ => Err(Fault::new(
            written.at,
            format!("{written} is {}", typed.name()),
            "a map such as http.request.headers is expected here",
        )),
    }
}

fn has_key(c: &mut Checker<'_>, _: At, a: &[Condition]) -> Result<Made, Fault> {
    let (typed, source) = map_or_array(c, &a[0])?;
    if !matches!(typed.shape, Shape::Map(_)) {
        let at = place_of(&a[0]);
        let message = format!("{} is {}", a[0], typed.name());
        return Err(Fault::new(
            at,
            message,
            "a map such as http.request.headers is expected here",
        ));
    }
    let key = text(&a[1])?;
    let key = Some(if source.folds { key.to_ascii_lowercase() } else { key });
    Ok(Made::Condition((Node::Has(Source { key, ..source }), None)))
}

fn has_value(c: &mut Checker<'_>, _: At, a: &[Condition]) -> Result<Made, Fault> {
    let (typed, source) = map_or_array(c, &a[0])?;
    let test = match typed.kind {
        Kind::Int => Test::Int(Order::Equal, number(&a[1])?),
        _ => Test::Bytes(Order::Equal, text(&a[1])?),
    };
    let node = Node::Compare(typed.value, test);
    Ok(Made::Condition((Node::Each(source, Box::new(node), false), None)))
}

fn len(c: &mut Checker<'_>, _: At, a: &[Condition]) -> Result<Made, Fault> {
    let typed = c.value(value_of(&a[0])?)?;
    if let Shape::Array(source) = typed.shape {
        return Ok(given(Value::Count(source), Kind::Int, None));
    }
    let (value, _, source) = single(c, &a[0], &[Kind::Bytes])?;
    Ok(given(Value::Length(Box::new(value)), Kind::Int, source))
}

fn remove_bytes(c: &mut Checker<'_>, _: At, a: &[Condition]) -> Result<Made, Fault> {
    let (value, _, source) = single(c, &a[0], &[Kind::Bytes])?;
    let bytes = ByteSet::of(&text(&a[1])?);
    Ok(given(Value::Remove(Box::new(value), bytes), Kind::Bytes, source))
}

fn substring(c: &mut Checker<'_>, _: At, a: &[Condition]) -> Result<Made, Fault> {
    let (value, _, source) = single(c, &a[0], &[Kind::Bytes])?;
    let from = number(&a[1])?;
    let to = a.get(2).map(number).transpose()?;
    Ok(given(Value::Substring(Box::new(value), from, to), Kind::Bytes, source))
}

fn to_string(c: &mut Checker<'_>, _: At, a: &[Condition]) -> Result<Made, Fault> {
    let (value, kind, source) = single(c, &a[0], &[Kind::Int, Kind::Bool, Kind::Ip])?;
    Ok(given(Value::Print(Box::new(value), kind), Kind::Bytes, source))
}

fn url_decode(c: &mut Checker<'_>, _: At, a: &[Condition]) -> Result<Made, Fault> {
    let (value, _, source) = single(c, &a[0], &[Kind::Bytes])?;
    let options = a.get(1).map(text).transpose()?.unwrap_or_default();
    if let Some(argument) = a.get(1).filter(|_| options.iter().any(|o| !b"ru".contains(o))) {
        let message = format!("{argument} are no options of url_decode");
        return Err(Fault::new(place_of(argument), message, "write \"r\", \"u\" or \"ru\""));
    }
    let name = if options.contains(&b'u') {
        "urlDecodeUni"
    } else {
        "urlDecode"
    };
    let value = match transform::by_name(name) {
        Ok(id) if options.contains(&b'r') => Value::Repeat(Box::new(value), id, DECODE_ROUNDS),
        _ => transformed(value, name),
    };
    Ok(given(value, Kind::Bytes, source))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_and_the_steps_exist() {
        assert!(FUNCTIONS.is_sorted_by(|a, b| a.name < b.name));
        assert!(ELSEWHERE.iter().all(|(name, _)| by_name(name).is_none()));
        for name in ["base64Decode", "lowercase", "uppercase", "urlDecode", "urlDecodeUni"] {
            assert!(transform::by_name(name).is_ok());
        }
    }
}
