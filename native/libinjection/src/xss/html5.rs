//! Reads HTML as browsers do, with what Internet Explorer and old Safari did beyond.

/// What a value is taken to stand in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Context {
    /// Text.
    Data,
    /// A tag.
    Tag,
    /// The value of an attribute in these quotes.
    Quoted(u8),
}

impl Context {
    /// All contexts.
    pub const ALL: [Self; 5] = [
        Self::Data,
        Self::Tag,
        Self::Quoted(b'\''),
        Self::Quoted(b'"'),
        Self::Quoted(b'`'),
    ];

    /// The quote that ends it.
    pub fn quote(self) -> Option<u8> {
        match self {
            Self::Quoted(quote) => Some(quote),
            _ => None,
        }
    }
}

/// Kinds of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Data,
    /// The name of a tag that begins.
    TagOpen,
    /// What ends a tag: `>` or `/>`.
    TagEnd,
    /// The name of a tag that was closed: `</a>`.
    TagClose,
    AttributeName,
    AttributeValue,
    Comment,
    Doctype,
}

/// One token.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token<'a> {
    pub kind: Kind,
    pub text: &'a [u8],
}

#[derive(Clone, Copy)]
enum State {
    Data,
    TagOpen,
    TagEnd,
    BeforeAttributeName,
    SelfClosing,
    AfterAttributeName,
    BeforeAttributeValue,
    AttributeValue(u8),
    AfterAttributeValue,
    End,
}

/// A place in a text.
pub(super) struct Tokenizer<'a> {
    text: &'a [u8],
    at: usize,
    state: State,
    /// The tag began with `</`.
    closing: bool,
}

/// White space inside of tags; NUL counts.
fn is_white(b: u8) -> bool {
    matches!(b, b' ' | b'\t' | b'\n' | 0x0b | 0x0c | b'\r' | 0)
}

impl<'a> Tokenizer<'a> {
    pub fn new(text: &'a [u8], context: Context) -> Self {
        let state = match context {
            Context::Data => State::Data,
            Context::Tag => State::BeforeAttributeName,
            Context::Quoted(quote) => State::AttributeValue(quote),
        };
        Self {
            text,
            at: 0,
            state,
            closing: false,
        }
    }

    /// Bytes read so far.
    pub fn bytes_read(&self) -> u64 {
        match self.state {
            State::End => self.text.len() as u64,
            _ => self.at as u64,
        }
    }

    /// The next token; `None` at the end.
    pub fn next(&mut self) -> Option<Token<'a>> {
        match self.state {
            State::Data => self.data(),
            State::TagOpen => self.tag_open(),
            State::TagEnd => self.tag_end(),
            State::BeforeAttributeName => self.before_attribute_name(),
            State::SelfClosing => self.self_closing(),
            State::AfterAttributeName => self.after_attribute_name(),
            State::BeforeAttributeValue => self.before_attribute_value(),
            State::AttributeValue(quote) => self.quoted_value(self.at, quote),
            State::AfterAttributeValue => self.after_attribute_value(),
            State::End => None,
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    /// Where a byte stands, from a place on.
    fn find(&self, from: usize, byte: u8) -> Option<usize> {
        self.text[from..].iter().position(|b| *b == byte).map(|at| from + at)
    }

    /// A token up to `end`; the next begins `skip` bytes behind it.
    fn token(&mut self, kind: Kind, end: usize, skip: usize, state: State) -> Option<Token<'a>> {
        let text = &self.text[self.at..end];
        self.at = end + skip;
        self.state = state;
        Some(Token { kind, text })
    }

    /// A token of all that is left.
    fn rest(&mut self, kind: Kind) -> Option<Token<'a>> {
        self.token(kind, self.text.len(), 0, State::End)
    }

    fn data(&mut self) -> Option<Token<'a>> {
        match self.find(self.at, b'<') {
            None if self.at == self.text.len() => {
                self.state = State::End;
                None
            }
            None => self.rest(Kind::Data),
            Some(end) if end == self.at => {
                self.at += 1;
                self.tag_open()
            }
            Some(end) => self.token(Kind::Data, end, 1, State::TagOpen),
        }
    }

    /// Behind `<`.
    fn tag_open(&mut self) -> Option<Token<'a>> {
        match self.peek()? {
            b'!' => {
                self.at += 1;
                self.declaration()
            }
            b'/' => {
                self.at += 1;
                self.closing = true;
                self.end_tag_open()
            }
            b'?' => {
                self.at += 1;
                self.bogus_comment()
            }
            b'%' => {
                // Internet Explorer up to 9 and Safari up to 4.
                self.at += 1;
                self.percent_comment()
            }
            b'a'..=b'z' | b'A'..=b'Z' | 0 => self.tag_name(),
            _ => {
                self.state = State::Data;
                Some(Token {
                    kind: Kind::Data,
                    text: &self.text[self.at - 1..self.at],
                })
            }
        }
    }

    /// Behind `</`.
    fn end_tag_open(&mut self) -> Option<Token<'a>> {
        match self.peek()? {
            b'>' => self.data(),
            b'a'..=b'z' | b'A'..=b'Z' => self.tag_name(),
            _ => {
                self.closing = false;
                self.bogus_comment()
            }
        }
    }

    fn tag_name(&mut self) -> Option<Token<'a>> {
        // NULs belong to the name.
        let ends = |b: &u8| (is_white(*b) && *b != 0) || matches!(b, b'/' | b'>');
        let Some(len) = self.text[self.at..].iter().position(ends) else {
            return self.rest(Kind::TagOpen);
        };
        let end = self.at + len;
        match self.text[end] {
            b'/' => self.token(Kind::TagOpen, end, 1, State::SelfClosing),
            b'>' if self.closing => {
                self.closing = false;
                self.token(Kind::TagClose, end, 1, State::Data)
            }
            b'>' => self.token(Kind::TagOpen, end, 0, State::TagEnd),
            _ => self.token(Kind::TagOpen, end, 1, State::BeforeAttributeName),
        }
    }

    /// At the `>` of a tag.
    fn tag_end(&mut self) -> Option<Token<'a>> {
        self.closing = false;
        let end = self.at + 1;
        let state = if end < self.text.len() { State::Data } else { State::End };
        self.token(Kind::TagEnd, end, 0, state)
    }

    /// The next byte that is no white space. A byte 0xff counts as the end, as it does in C where characters are signed.
    fn skip_white(&mut self) -> Option<u8> {
        self.at += self.text[self.at..]
            .iter()
            .position(|b| !is_white(*b))
            .unwrap_or(self.text.len() - self.at);
        self.peek().filter(|b| *b != 0xff)
    }

    fn before_attribute_name(&mut self) -> Option<Token<'a>> {
        loop {
            match self.skip_white()? {
                b'/' => {
                    self.at += 1;
                    if self.peek()? == b'>' {
                        return self.self_closing();
                    }
                }
                b'>' => return self.token(Kind::TagEnd, self.at + 1, 0, State::Data),
                _ => return self.attribute_name(),
            }
        }
    }

    /// Behind `/` in a tag.
    fn self_closing(&mut self) -> Option<Token<'a>> {
        if self.peek()? == b'>' {
            return self.token(Kind::TagEnd, self.at + 1, 0, State::Data);
        }
        self.before_attribute_name()
    }

    fn attribute_name(&mut self) -> Option<Token<'a>> {
        // The first byte belongs to the name, whatever it is.
        let ends = |b: &u8| is_white(*b) || matches!(b, b'/' | b'=' | b'>');
        let Some(len) = self.text[self.at + 1..].iter().position(ends) else {
            return self.rest(Kind::AttributeName);
        };
        let end = self.at + 1 + len;
        let (skip, state) = match self.text[end] {
            b'/' => (1, State::SelfClosing),
            b'=' => (1, State::BeforeAttributeValue),
            b'>' => (0, State::TagEnd),
            _ => (1, State::AfterAttributeName),
        };
        self.token(Kind::AttributeName, end, skip, state)
    }

    fn after_attribute_name(&mut self) -> Option<Token<'a>> {
        match self.skip_white()? {
            b'/' => {
                self.at += 1;
                self.self_closing()
            }
            b'=' => {
                self.at += 1;
                self.before_attribute_value()
            }
            b'>' => self.tag_end(),
            _ => self.attribute_name(),
        }
    }

    fn before_attribute_value(&mut self) -> Option<Token<'a>> {
        match self.skip_white()? {
            quote @ (b'"' | b'\'' | b'`') => self.quoted_value(self.at + 1, quote),
            _ => self.bare_value(),
        }
    }

    fn quoted_value(&mut self, from: usize, quote: u8) -> Option<Token<'a>> {
        self.at = from;
        match self.find(from, quote) {
            None => self.rest(Kind::AttributeValue),
            Some(end) => self.token(Kind::AttributeValue, end, 1, State::AfterAttributeValue),
        }
    }

    fn bare_value(&mut self) -> Option<Token<'a>> {
        let ends = |b: &u8| is_white(*b) || *b == b'>';
        let Some(len) = self.text[self.at..].iter().position(ends) else {
            return self.rest(Kind::AttributeValue);
        };
        let end = self.at + len;
        match self.text[end] {
            b'>' => self.token(Kind::AttributeValue, end, 0, State::TagEnd),
            _ => self.token(Kind::AttributeValue, end, 1, State::BeforeAttributeName),
        }
    }

    fn after_attribute_value(&mut self) -> Option<Token<'a>> {
        match self.peek()? {
            b'/' => {
                self.at += 1;
                self.self_closing()
            }
            b'>' => self.token(Kind::TagEnd, self.at + 1, 0, State::Data),
            _ => self.before_attribute_name(),
        }
    }

    /// A comment that ends with the first `>`.
    fn bogus_comment(&mut self) -> Option<Token<'a>> {
        match self.find(self.at, b'>') {
            None => self.rest(Kind::Comment),
            Some(end) => self.token(Kind::Comment, end, 1, State::Data),
        }
    }

    /// A comment that ends with `%>`.
    fn percent_comment(&mut self) -> Option<Token<'a>> {
        match self.text[self.at..].windows(2).position(|w| w == b"%>") {
            None => self.rest(Kind::Comment),
            Some(len) => self.token(Kind::Comment, self.at + len, 2, State::Data),
        }
    }

    /// Behind `<!`.
    fn declaration(&mut self) -> Option<Token<'a>> {
        let rest = &self.text[self.at..];
        if rest.len() >= 7 && rest[..7].eq_ignore_ascii_case(b"DOCTYPE") {
            return self.doctype();
        }
        if rest.starts_with(b"[CDATA[") {
            self.at += 7;
            return self.cdata();
        }
        if rest.starts_with(b"--") {
            self.at += 2;
            return self.comment();
        }
        self.bogus_comment()
    }

    fn doctype(&mut self) -> Option<Token<'a>> {
        match self.find(self.at, b'>') {
            None => self.rest(Kind::Doctype),
            Some(end) => self.token(Kind::Doctype, end, 1, State::Data),
        }
    }

    /// A comment that ends with `-->` or `-!>`; NULs behind the first dash are skipped.
    fn comment(&mut self) -> Option<Token<'a>> {
        let mut from = self.at;
        while let Some(dash) = self.find(from, b'-') {
            if dash + 3 > self.text.len() {
                break;
            }
            let behind = &self.text[dash + 1..];
            let nulls = behind.iter().position(|b| *b != 0).unwrap_or(behind.len());
            match behind[nulls..] {
                [] | [b'-' | b'!'] => break,
                [b'-' | b'!', b'>', ..] => return self.token(Kind::Comment, dash, nulls + 3, State::Data),
                _ => from = dash + 1,
            }
        }
        self.rest(Kind::Comment)
    }

    fn cdata(&mut self) -> Option<Token<'a>> {
        match self.text[self.at..].windows(3).position(|w| w == b"]]>") {
            None => self.rest(Kind::Data),
            Some(len) => self.token(Kind::Data, self.at + len, 3, State::Data),
        }
    }
}
