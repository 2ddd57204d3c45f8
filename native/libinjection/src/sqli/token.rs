//! Tokens and their kinds.

/// Most bytes of a token's text that are kept.
pub(super) const TEXT_BYTES_MAX: usize = 31;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $letter:literal,)*) => {
        /// The kinds of tokens; their values are the letters of fingerprints.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub(super) enum Kind {
            $($(#[$doc])* $name = $letter,)*
        }

        impl Kind {
            /// The kind that a letter stands for.
            pub fn of_letter(letter: u8) -> Option<Self> {
                match letter {
                    $($letter => Some(Self::$name),)*
                    _ => None,
                }
            }
        }
    };
}

kinds! {
    /// No token: the rest of a bounded array.
    None = 0,
    /// A keyword of no other kind.
    Keyword = b'k',
    /// `UNION` and its like.
    Union = b'U',
    /// `GROUP BY`, `LIMIT` and their like.
    Group = b'B',
    /// `SELECT` and other beginnings of statements.
    Expression = b'E',
    /// The name of a type.
    SqlType = b't',
    /// The name of a function.
    Function = b'f',
    /// Any other word.
    Bareword = b'n',
    /// A number.
    Number = b'1',
    /// `@name`.
    Variable = b'v',
    /// Text in quotes.
    Text = b's',
    /// An operator.
    Operator = b'o',
    /// `AND`, `OR`, `&&`.
    Logic = b'&',
    /// A comment.
    Comment = b'c',
    /// `COLLATE`.
    Collate = b'A',
    /// `(`
    Open = b'(',
    /// `)`
    Close = b')',
    /// `{`
    OpenBrace = b'{',
    /// `}`
    CloseBrace = b'}',
    /// `.`
    Dot = b'.',
    /// `,`
    Comma = b',',
    /// `:`
    Colon = b':',
    /// `;`
    Semicolon = b';',
    /// A word that begins a statement of Transact-SQL.
    Tsql = b'T',
    /// A byte that means nothing.
    Unknown = b'?',
    /// Databases read it so differently that only an attack holds it.
    Evil = b'X',
    /// `\`
    Backslash = b'\\',
}

/// One token.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token<'a> {
    pub kind: Kind,
    /// The quote that opens it: 0 for none, or the letter of its form of string.
    pub open: u8,
    /// The quote that closes it, likewise; 0 when the value ended before.
    pub close: u8,
    text: &'a [u8],
}

impl<'a> Token<'a> {
    /// The rest of a bounded array.
    pub const NONE: Self = Self {
        kind: Kind::None,
        open: 0,
        close: 0,
        text: b"",
    };

    /// A token; what is too long of its text is not kept.
    #[inline]
    pub fn new(kind: Kind, text: &'a [u8]) -> Self {
        let mut out = Self::NONE;
        out.set(kind, text);
        out
    }

    /// A string with the quotes around it.
    pub fn quoted(text: &'a [u8], open: u8, close: u8) -> Self {
        Self {
            open,
            close,
            ..Self::new(Kind::Text, text)
        }
    }

    /// Another kind and text; the quotes stay.
    #[inline]
    pub fn set(&mut self, kind: Kind, text: &'a [u8]) {
        self.kind = kind;
        self.text = &text[..text.len().min(TEXT_BYTES_MAX)];
    }

    /// What is kept of the text.
    #[inline]
    pub fn text(&self) -> &'a [u8] {
        self.text
    }

    /// The byte at a place of the text; 0 behind it.
    #[inline]
    pub fn byte(&self, at: usize) -> u8 {
        self.text().get(at).copied().unwrap_or(0)
    }

    /// The text is this word, ASCII case ignored.
    #[inline]
    pub fn is(&self, word: &[u8]) -> bool {
        self.text().eq_ignore_ascii_case(word)
    }

    /// An operator that stands before one operand.
    pub fn is_unary(&self) -> bool {
        self.kind == Kind::Operator && (matches!(self.text(), b"+" | b"-" | b"!" | b"~" | b"!!") || self.is(b"NOT"))
    }

    /// An operator of arithmetic.
    pub fn is_arithmetic(&self) -> bool {
        self.kind == Kind::Operator && matches!(self.text(), b"*" | b"/" | b"-" | b"+" | b"%")
    }
}
