//! Tokens of MOF. A token is a kind and a stretch of the source; nothing is copied here.

use super::ast::Span;

/// The kinds of token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// An identifier or keyword; which one depends on where it stands.
    Word,
    /// A string in its quotes, escapes unresolved.
    String,
    /// A character in its quotes.
    Char,
    /// What starts like a number and may turn out to be none.
    Number,
    /// `$name`
    Alias,
    /// `#pragma` or another word after `#`.
    Directive,
    LeftBracket,
    RightBracket,
    LeftParen,
    RightParen,
    LeftBrace,
    RightBrace,
    Comma,
    Colon,
    Semicolon,
    Equals,
    /// A string or character without closing quote before the end of its line.
    Unclosed,
    /// A block comment without end.
    UnclosedComment,
    /// A character that starts no token.
    Unknown,
    /// The end of the text.
    End,
}

/// A token.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) span: Span,
}

/// Cuts a text into tokens. The text must be shorter than 4 GiB.
///
/// Every token starts and ends at a character border: bytes from 0x80 up only occur inside identifiers, strings, characters
/// and comments, which take them whole.
#[derive(Clone)]
pub(super) struct Lexer<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { bytes: text.as_bytes(), at: 0 }
    }

    pub(super) fn next(&mut self) -> Token {
        if let Some(token) = self.skip_blanks() {
            return token;
        }
        let start = self.at;
        let Some(&first) = self.bytes.get(start) else { return self.token(Kind::End, start) };
        self.at += 1;
        let kind = match first {
            b'"' | b'\'' => self.quoted(first),
            b'0'..=b'9' => self.number(first),
            b'+' | b'-' | b'.' if matches!(self.bytes.get(self.at), Some(b'0'..=b'9' | b'.')) => {
                self.number(first)
            }
            b if is_word_start(b) => {
                self.skip_word();
                Kind::Word
            }
            b'[' => Kind::LeftBracket,
            b']' => Kind::RightBracket,
            b'(' => Kind::LeftParen,
            b')' => Kind::RightParen,
            b'{' => Kind::LeftBrace,
            b'}' => Kind::RightBrace,
            b',' => Kind::Comma,
            b':' => Kind::Colon,
            b';' => Kind::Semicolon,
            b'=' => Kind::Equals,
            b'$' if self.bytes.get(self.at).copied().is_some_and(is_word_start) => {
                self.skip_word();
                Kind::Alias
            }
            b'#' => {
                while matches!(self.bytes.get(self.at), Some(b' ' | b'\t')) {
                    self.at += 1;
                }
                self.skip_word();
                Kind::Directive
            }
            _ => Kind::Unknown,
        };
        self.token(kind, start)
    }

    /// Skips white space and comments; an unclosed comment is a token.
    fn skip_blanks(&mut self) -> Option<Token> {
        loop {
            match self.bytes.get(self.at) {
                Some(b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c) => self.at += 1,
                Some(b'/') => match self.bytes.get(self.at + 1) {
                    Some(b'/') => {
                        let rest = &self.bytes[self.at..];
                        self.at += rest.iter().position(|b| matches!(b, b'\n' | b'\r')).unwrap_or(rest.len());
                    }
                    Some(b'*') => {
                        let start = self.at;
                        let rest = &self.bytes[start + 2..];
                        match rest.windows(2).position(|w| w == b"*/") {
                            Some(length) => self.at = start + 2 + length + 2,
                            None => {
                                self.at = self.bytes.len();
                                let span = Span { start: start as u32, end: start as u32 + 2 };
                                return Some(Token { kind: Kind::UnclosedComment, span });
                            }
                        }
                    }
                    _ => return None,
                },
                _ => return None,
            }
        }
    }

    fn skip_word(&mut self) {
        while self.bytes.get(self.at).copied().is_some_and(is_word_part) {
            self.at += 1;
        }
    }

    fn quoted(&mut self, quote: u8) -> Kind {
        let good = if quote == b'"' { Kind::String } else { Kind::Char };
        loop {
            match self.bytes.get(self.at) {
                None | Some(b'\n' | b'\r') => return Kind::Unclosed,
                Some(b'\\') => {
                    self.at += 1;
                    if matches!(self.bytes.get(self.at), Some(b) if !matches!(b, b'\n' | b'\r')) {
                        self.at += 1;
                        // The rest of a character that was cut: its bytes are no quotes and are taken below.
                    }
                }
                Some(b) => {
                    self.at += 1;
                    if *b == quote {
                        return good;
                    }
                    let rest = &self.bytes[self.at..];
                    self.at += rest.iter().position(|b| !PLAIN[usize::from(*b)]).unwrap_or(rest.len());
                }
            }
        }
    }

    /// Takes all that could belong to a number, so that `0x1G` or `1.2.3` is one wrong token and not several right ones.
    fn number(&mut self, first: u8) -> Kind {
        let start = self.at - 1;
        let mut point = first == b'.';
        while let Some(&b) = self.bytes.get(self.at) {
            match b {
                b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'_' => {}
                b'.' => point = true,
                // The sign of an exponent: only a real has one, and `0xE+1` is none.
                b'+' | b'-' if point && self.at > start && matches!(self.bytes[self.at - 1], b'e' | b'E') => {
                }
                _ => break,
            }
            self.at += 1;
        }
        Kind::Number
    }

    fn token(&self, kind: Kind, start: usize) -> Token {
        Token { kind, span: Span { start: start as u32, end: self.at as u32 } }
    }
}

/// Which bytes stand for nothing but themselves in a string or character. A table, because most of a schema is descriptions.
static PLAIN: [bool; 256] = {
    let mut plain = [true; 256];
    plain[b'"' as usize] = false;
    plain[b'\'' as usize] = false;
    plain[b'\\' as usize] = false;
    plain[b'\n' as usize] = false;
    plain[b'\r' as usize] = false;
    plain
};

fn is_word_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80
}

fn is_word_part(byte: u8) -> bool {
    is_word_start(byte) || byte.is_ascii_digit()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str) -> Vec<(Kind, &str)> {
        let mut lexer = Lexer::new(text);
        let mut found = Vec::new();
        loop {
            let Token { kind, span } = lexer.next();
            if kind == Kind::End {
                return found;
            }
            found.push((kind, &text[span.start as usize..span.end as usize]));
        }
    }

    #[test]
    fn comments_and_blanks_part_tokens_and_strings_hide_comments() {
        assert_eq!(
            cut("a//x\r\"b//c\" /* \" */\x0c\"/*\"\r\n'\\''"),
            [(Kind::Word, "a"), (Kind::String, "\"b//c\""), (Kind::String, "\"/*\""), (Kind::Char, "'\\''")]
        );
        assert_eq!(cut("a /* b").last(), Some(&(Kind::UnclosedComment, "/*")));
        assert_eq!(cut("/*/"), [(Kind::UnclosedComment, "/*")]);
        assert_eq!(cut("/"), [(Kind::Unknown, "/")]);
    }

    #[test]
    fn numbers_are_taken_whole() {
        for text in ["0", "-12", "+0x1F", "101b", ".5", "-.5e-10", "1.5E+3", "0x1G", "1.2.3", "08", "5."] {
            assert_eq!(cut(text), [(Kind::Number, text)], "{text}");
        }
        assert_eq!(cut("0xE+1").len(), 2);
        assert_eq!(cut("-x")[0], (Kind::Unknown, "-"));
    }

    #[test]
    fn strings_end_with_their_line() {
        assert_eq!(cut("\"ab\ncd"), [(Kind::Unclosed, "\"ab"), (Kind::Word, "cd")]);
        assert_eq!(cut("\"ab\\\r\ncd")[0], (Kind::Unclosed, "\"ab\\"));
        assert_eq!(cut("\"\\\\\"x"), [(Kind::String, "\"\\\\\""), (Kind::Word, "x")]);
        assert_eq!(cut("\"\\é\""), [(Kind::String, "\"\\é\"")]);
    }

    #[test]
    fn names_may_hold_any_letter_and_directives_blanks() {
        assert_eq!(
            cut("Größe_1 $A #  pragma"),
            [(Kind::Word, "Größe_1"), (Kind::Alias, "$A"), (Kind::Directive, "#  pragma")]
        );
    }
}
