//! Cross-site scripting: HTML tokens whose names, attributes or URLs run programs.

mod html5;
mod names;
mod url;

use html5::{Context, Kind, Tokenizer};
use names::Attribute;

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The value is an attack.
    pub found: bool,
    /// Bytes read, all contexts together: at most five times the length of the value.
    pub bytes_read: u64,
}

/// Whether a byte is one without which nothing is found: tags, comments and declarations begin with `<`, and an attribute has a value
/// behind `=` only.
pub const fn is_needed(byte: u8) -> bool {
    matches!(byte, b'<' | b'=')
}

/// Looks for cross-site scripting in a value.
pub fn detect(value: &[u8]) -> Answer {
    let mut out = Answer {
        found: false,
        bytes_read: 0,
    };
    if !value.iter().copied().any(is_needed) {
        return out;
    }
    for context in Context::ALL {
        // Without the quote all of the value is text of an attribute that has no name.
        if let Some(quote) = context.quote()
            && !value.contains(&quote)
        {
            continue;
        }
        let mut tokens = Tokenizer::new(value, context);
        out.found = is_attack(&mut tokens);
        out.bytes_read += tokens.bytes_read();
        if out.found {
            break;
        }
    }
    out
}

fn is_attack(tokens: &mut Tokenizer<'_>) -> bool {
    let mut attribute = Attribute::Harmless;
    while let Some(token) = tokens.next() {
        let of_value = std::mem::replace(&mut attribute, Attribute::Harmless);
        let attack = match token.kind {
            Kind::Doctype => true,
            Kind::TagOpen => names::is_bad_tag(token.text),
            Kind::AttributeName => {
                attribute = names::attribute(token.text);
                false
            }
            Kind::AttributeValue => match of_value {
                Attribute::Harmless => false,
                Attribute::Bad => true,
                Attribute::Url => url::is_bad(token.text),
                Attribute::Indirect => names::attribute(token.text) != Attribute::Harmless,
            },
            Kind::Comment => is_bad_comment(token.text),
            Kind::Data | Kind::TagEnd | Kind::TagClose => false,
        };
        if attack {
            return true;
        }
    }
    false
}

/// Comments that Internet Explorer reads: a backtick ends a tag there, and `[if`, `xml`, `import` and `entity` mean something.
fn is_bad_comment(text: &[u8]) -> bool {
    let begins = |word: &[u8]| text.len() >= word.len() && text[..word.len()].eq_ignore_ascii_case(word);
    text.contains(&b'`')
        || text.len() > 3 && (begins(b"[if") || begins(b"xml"))
        || begins(b"import")
        || begins(b"entity")
}

#[cfg(test)]
mod tests;
