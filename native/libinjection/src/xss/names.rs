//! Tags and attributes by name.

/// Most bytes of a name in the lists.
const NAME_BYTES_MAX: usize = 16;

/// What the value of an attribute is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attribute {
    /// Nothing that matters.
    Harmless,
    /// A program, a style or something of which no good is known.
    Bad,
    /// A URL.
    Url,
    /// The name of another attribute.
    Indirect,
}

/// A name in upper case without NULs, which browsers skip.
struct Name {
    bytes: [u8; NAME_BYTES_MAX],
    len: usize,
}

impl Name {
    /// `None` when it is longer than any that is listed.
    fn of(text: &[u8]) -> Option<Self> {
        let mut out = Self {
            bytes: [0; NAME_BYTES_MAX],
            len: 0,
        };
        for b in text.iter().filter(|b| **b != 0) {
            *out.bytes.get_mut(out.len)? = b.to_ascii_uppercase();
            out.len += 1;
        }
        Some(out)
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

fn begins(text: &[u8], word: &[u8]) -> bool {
    text.len() >= word.len() && text[..word.len()].eq_ignore_ascii_case(word)
}

/// A tag that runs or fetches programs.
pub(super) fn is_bad_tag(text: &[u8]) -> bool {
    if text.len() < 3 {
        return false;
    }
    // All of SVG, and of XSL and XSLT.
    if begins(text, b"SVG") || begins(text, b"XSL") {
        return true;
    }
    let Some(name) = Name::of(text) else { return false };
    matches!(
        name.bytes(),
        b"APPLET"
            | b"BASE"
            | b"COMMENT"
            | b"EMBED"
            | b"FRAME"
            | b"FRAMESET"
            | b"HANDLER"
            | b"IFRAME"
            | b"IMPORT"
            | b"ISINDEX"
            | b"LINK"
            | b"LISTENER"
            | b"META"
            | b"NOSCRIPT"
            | b"OBJECT"
            | b"SCRIPT"
            | b"STYLE"
            | b"VMLFRAME"
            | b"XML"
            | b"XSS"
    )
}

/// What the value of an attribute of this name is.
pub(super) fn attribute(text: &[u8]) -> Attribute {
    if text.len() < 2 {
        return Attribute::Harmless;
    }
    // Handlers of events, and what declares other tags.
    if text.len() >= 5 && (begins(text, b"ON") || begins(text, b"XMLNS") || begins(text, b"XLINK")) {
        return Attribute::Bad;
    }
    let Some(name) = Name::of(text) else {
        return Attribute::Harmless;
    };
    match name.bytes() {
        b"DATAFORMATAS" | b"DATASRC" | b"FILTER" | b"STYLE" => Attribute::Bad,
        b"ATTRIBUTENAME" => Attribute::Indirect,
        b"ACTION" | b"BACKGROUND" | b"BY" | b"DYNSRC" | b"FOLDER" | b"FORMACTION" | b"FROM" | b"HANDLER" | b"HREF"
        | b"LOWSRC" | b"POSTER" | b"SRC" | b"TO" | b"VALUES" | b"XLINK:HREF" => Attribute::Url,
        _ => Attribute::Harmless,
    }
}
