//! Tokens of the query languages, and errors that say where.

use cimwright_cim::{CimError, CimStatus};
use std::borrow::Cow;

/// The longest piece of a query that an error quotes, in characters.
const QUOTED: usize = 40;

/// A token and where it starts, in bytes.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind<'a>,
    pub(super) start: usize,
    pub(super) end: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind<'a> {
    /// A name or keyword.
    Word(&'a str),
    /// A string, escapes resolved.
    Text(Cow<'a, str>),
    /// A number with its sign.
    Number(&'a str),
    /// Any other sign: `=`, `<>`, `(`, …
    Sign(&'static str),
    /// The end of the query.
    End,
}

impl Token<'_> {
    /// Whether the token is this keyword, in any case.
    pub(super) fn is(&self, keyword: &str) -> bool {
        matches!(self.kind, Kind::Word(word) if word.eq_ignore_ascii_case(keyword))
    }

    pub(super) fn is_sign(&self, sign: &str) -> bool {
        matches!(self.kind, Kind::Sign(found) if found == sign)
    }
}

/// Cuts a query into tokens.
pub(super) struct Scanner<'a> {
    text: &'a str,
    at: usize,
    /// Whether a quote inside a string may be written twice, as in DMTF:CQL.
    doubled: bool,
}

/// Longer signs first.
const SIGNS: [&str; 24] = [
    "<>", "<=", ">=", "!=", "::", "||", "=", "<", ">", "(", ")", ",", ".", "*", "{", "}", ";", "@", "[", "]",
    "#", "+", "-", "/",
];

impl<'a> Scanner<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0, doubled: false }
    }

    /// A scanner for which a quote inside a string may be written twice.
    pub(super) fn with_doubled_quotes(text: &'a str) -> Self {
        Self { doubled: true, ..Self::new(text) }
    }

    pub(super) fn next(&mut self) -> Result<Token<'a>, CimError> {
        let rest = self.text[self.at..].trim_start();
        let start = self.text.len() - rest.len();
        let done = |kind, length| Token { kind, start, end: start + length };
        let token = match rest.as_bytes() {
            [] => done(Kind::End, 0),
            [b'"' | b'\'', ..] => {
                let (text, length) = self.string(rest, start)?;
                done(Kind::Text(text), length)
            }
            [b'0'..=b'9', ..] | [b'+' | b'-', b'0'..=b'9' | b'.', ..] | [b'.', b'0'..=b'9', ..] => {
                let length = number_length(rest.as_bytes());
                done(Kind::Number(&rest[..length]), length)
            }
            [b'A'..=b'Z' | b'a'..=b'z' | b'_' | 0x80.., ..] => {
                let length = rest.bytes().take_while(|b| is_name(*b)).count();
                done(Kind::Word(&rest[..length]), length)
            }
            _ => match SIGNS.into_iter().find(|sign| rest.starts_with(sign)) {
                Some(sign) => done(Kind::Sign(sign), sign.len()),
                None => return Err(self.invalid(start, start + 1, "no query has this character here")),
            },
        };
        self.at = token.end;
        Ok(token)
    }

    /// A string in either kind of quotes, and its length with them.
    fn string(&self, rest: &'a str, start: usize) -> Result<(Cow<'a, str>, usize), CimError> {
        let quote = char::from(rest.as_bytes()[0]);
        let mut text = Cow::Borrowed("");
        let mut from = 1;
        while let Some(length) = rest[from..].find([quote, '\\']) {
            let at = from + length;
            join(&mut text, &rest[from..at]);
            if self.doubled && rest[at..].starts_with(quote) && rest[at + 1..].starts_with(quote) {
                join(&mut text, &rest[at..at + 1]);
                from = at + 2;
                continue;
            }
            if rest[at..].starts_with(quote) {
                return Ok((text, at + 1));
            }
            let Some(b'\\' | b'"' | b'\'') = rest.as_bytes().get(at + 1) else {
                let problem =
                    "a backslash stands before a quote or another backslash; itself it is written twice";
                return Err(self.invalid(start + at, start + at + 2, problem));
            };
            join(&mut text, &rest[at + 1..at + 2]);
            from = at + 2;
        }
        Err(self.invalid(start, self.text.len(), "the string is not closed"))
    }

    /// CIM_ERR_INVALID_QUERY about a stretch of the query.
    pub(super) fn invalid(&self, start: usize, end: usize, problem: &str) -> CimError {
        self.error(CimStatus::InvalidQuery, start, end, problem)
    }

    /// An error about a stretch of the query: what is wrong, where (counted in characters from 1) and what stands there.
    pub(super) fn error(&self, status: CimStatus, start: usize, end: usize, problem: &str) -> CimError {
        let column = self.text[..start].chars().count() + 1;
        let rest = &self.text[start..];
        let length = rest.char_indices().map(|(at, c)| at + c.len_utf8()).find(|at| start + at >= end);
        let there = &rest[..length.unwrap_or(rest.len()).min(rest.len())];
        let there = match there.char_indices().nth(QUOTED) {
            _ if start >= end || there.is_empty() => "at the end of the query".to_owned(),
            None => format!("at character {column}, '{there}'"),
            Some((cut, _)) => format!("at character {column}, '{}…'", &there[..cut]),
        };
        CimError::new(status, format!("the query is not understood {there}: {problem}"))
    }
}

fn join<'a>(text: &mut Cow<'a, str>, piece: &'a str) {
    if text.is_empty() {
        *text = Cow::Borrowed(piece);
    } else {
        text.to_mut().push_str(piece);
    }
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

/// Takes what could belong to a number, so that `12ab` is one wrong number and not a number and a name.
fn number_length(bytes: &[u8]) -> usize {
    let mut length = 1;
    while let Some(&b) = bytes.get(length) {
        let sign = matches!(b, b'+' | b'-') && matches!(bytes[length - 1], b'e' | b'E');
        if !(b.is_ascii_alphanumeric() || b == b'.' || b == b'_' || sign) {
            break;
        }
        length += 1;
    }
    length
}
