//! The parser's place in its source: taking tokens, reporting mistakes, finding the next item after one.

use super::ast::{Span, Word};
use super::diagnostic::{Diagnostic, quote};
use super::lexer::{Kind, Lexer, Token};
use super::source::Source;

/// The item cannot be parsed any further; the reason is among the mistakes.
pub(super) struct Stop;

pub(super) type Parsed<T> = Result<T, Stop>;

pub(super) struct Parser<'a> {
    pub(super) source: &'a Source,
    pub(super) text: &'a str,
    lexer: Lexer<'a>,
    pub(super) token: Token,
    /// The token before.
    pub(super) last: Span,
    /// How many braces are open.
    pub(super) braces: u32,
    pub(super) mistakes: Vec<Diagnostic>,
    /// Room for a string while its parts are joined.
    pub(super) joined: String,
}

impl<'a> Parser<'a> {
    pub(super) fn new(source: &'a Source) -> Self {
        let text = source.body();
        let mut lexer = Lexer::new(text);
        let token = lexer.next();
        Self {
            source,
            text,
            lexer,
            token,
            last: Span::default(),
            braces: 0,
            mistakes: Vec::new(),
            joined: String::new(),
        }
    }

    // ---- Tokens

    pub(super) fn bump(&mut self) {
        match self.token.kind {
            Kind::LeftBrace => self.braces += 1,
            Kind::RightBrace => self.braces = self.braces.saturating_sub(1),
            _ => {}
        }
        self.last = self.token.span;
        self.token = self.lexer.next();
    }

    pub(super) fn accept(&mut self, kind: Kind) -> bool {
        let found = self.token.kind == kind;
        if found {
            self.bump();
        }
        found
    }

    pub(super) fn take(&mut self, kind: Kind, what: &str) -> Parsed<()> {
        if self.accept(kind) { Ok(()) } else { Err(self.expected(what)) }
    }

    /// The text of the token, whatever it is.
    pub(super) fn peek_word(&self) -> Word<'a> {
        let span = self.token.span;
        Word { text: &self.text[span.start as usize..span.end as usize], span }
    }

    /// A name: any word, since keywords are none where a name is expected.
    pub(super) fn name(&mut self, what: &str) -> Parsed<Word<'a>> {
        let word = self.peek_word();
        self.take(Kind::Word, what)?;
        Ok(word)
    }

    /// The semicolon after a closing brace. Its absence is a mistake, but one that leaves no doubt about what is meant.
    pub(super) fn end_of_item(&mut self) {
        if !self.accept(Kind::Semicolon) {
            let diagnostic = Diagnostic::new(self.source, self.last, "expected ';' after this");
            self.mistakes.push(diagnostic.hint("classes, instances and declarations end in a semicolon"));
        }
    }

    // ---- Mistakes

    pub(super) fn mistake(&mut self, span: Span, message: impl Into<String>) -> Stop {
        self.mistakes.push(Diagnostic::new(self.source, span, message));
        Stop
    }

    pub(super) fn expected(&mut self, what: &str) -> Stop {
        let word = self.peek_word();
        let mut hint = None;
        let message = match self.token.kind {
            Kind::End => format!("expected {what}, found the end of the file"),
            Kind::UnclosedComment => "the comment is never closed".to_owned(),
            Kind::Unclosed => {
                hint = Some("strings may be split: \"one part \" \"and the next\"");
                "the quotes are not closed on this line".to_owned()
            }
            _ => format!("expected {what}, found {}", quote(word.text)),
        };
        let mut diagnostic = Diagnostic::new(self.source, word.span, message);
        diagnostic.hint = hint.map(str::to_owned);
        self.mistakes.push(diagnostic);
        Stop
    }

    /// Goes to where the next item probably starts: after the semicolon that ends the item begun at `start`, or at a word that
    /// begins an item at the start of a line.
    pub(super) fn recover(&mut self, start: u32) {
        if self.token.span.start == start {
            self.bump();
        }
        loop {
            let at = self.token.span.start as usize;
            let fresh = at == 0 || matches!(self.text.as_bytes()[at - 1], b'\n' | b'\r');
            match self.token.kind {
                Kind::End => return,
                Kind::Word | Kind::Directive if fresh && self.at_item_keyword() => return,
                Kind::Semicolon if self.braces == 0 => {
                    self.bump();
                    return;
                }
                Kind::RightBrace if self.braces <= 1 => {
                    self.bump();
                    if matches!(self.token.kind, Kind::LeftBracket | Kind::Directive)
                        || self.at_item_keyword()
                    {
                        return;
                    }
                }
                _ => self.bump(),
            }
        }
    }

    pub(super) fn at_item_keyword(&self) -> bool {
        let word = self.peek_word();
        match self.token.kind {
            Kind::Directive => true,
            Kind::Word => word.is("class") || word.is("instance") || word.is("qualifier"),
            _ => false,
        }
    }
}
