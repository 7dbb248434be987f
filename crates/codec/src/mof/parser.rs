//! The grammar of DSP0004 annex A, by recursive descent with one token of lookahead.
//!
//! A mistake ends its item and is reported; parsing goes on with the next item, so that one run finds several mistakes.

use super::ast::{
    ArrayBounds, ClassItem, DataType, Feature, FeatureKind, Flavors, InstanceItem, Item, Literal,
    LiteralKind, ParameterItem, Pragma, QualifierItem, QualifierUse, Span, Word,
};
use super::cursor::{Parsed, Parser, Stop};
use super::diagnostic::{Diagnostic, MAX_ERRORS, did_you_mean, quote};
use super::lexer::Kind;
use super::literal::{Unescaper, character, number};
use super::source::Source;
use cimwright_cim::{CimType, QualifierScope, Scopes};
use std::borrow::Cow;

/// How deep instances may stand inside values of instances.
const MAX_DEPTH: u32 = 32;

/// The items of a source.
///
/// # Errors
/// Every mistake found, in the order of the text.
pub fn parse(source: &Source) -> Result<Vec<Item<'_>>, Vec<Diagnostic>> {
    let (items, mistakes) = parse_all(source);
    if mistakes.is_empty() { Ok(items) } else { Err(mistakes) }
}

/// The items that are right and what is wrong with the others.
pub(super) fn parse_all(source: &Source) -> (Vec<Item<'_>>, Vec<Diagnostic>) {
    if u32::try_from(source.text.len()).is_err() {
        return (Vec::new(), vec![Diagnostic::new(source, Span::default(), "the file is larger than 4 GiB")]);
    }
    let mut parser = Parser::new(source);
    let mut items = Vec::new();
    while parser.token.kind != Kind::End && parser.mistakes.len() < MAX_ERRORS {
        parser.braces = 0;
        let start = parser.token.span.start;
        match parser.item() {
            Ok(item) => items.extend(item),
            Err(Stop) => parser.recover(start),
        }
    }
    (items, parser.mistakes)
}

impl<'a> Parser<'a> {
    // ---- Items

    /// The next item; `None` when it says nothing.
    fn item(&mut self) -> Parsed<Option<Item<'a>>> {
        if self.token.kind == Kind::Directive {
            return self.directive();
        }
        let qualifiers = self.qualifiers()?;
        let word = self.peek_word();
        if word.is("class") {
            self.bump();
            return Ok(Some(Item::Class(self.class(qualifiers)?)));
        }
        if word.is("instance") {
            self.bump();
            let instance = self.instance(0)?;
            self.end_of_item();
            return Ok(Some(Item::Instance(instance)));
        }
        if word.is("qualifier") && qualifiers.is_empty() {
            self.bump();
            return Ok(Some(Item::Qualifier(self.qualifier_declaration()?)));
        }
        Err(self.expected(if qualifiers.is_empty() {
            "a class, an instance, a qualifier declaration or #pragma"
        } else {
            "a class or an instance after the qualifiers"
        }))
    }

    fn directive(&mut self) -> Parsed<Option<Item<'a>>> {
        let directive = self.peek_word();
        let keyword = directive.text[1..].trim_start();
        if keyword.eq_ignore_ascii_case("line") {
            // A preprocessor's note of where the text came from. Positions are told in the file at hand.
            self.bump();
            self.take(Kind::Number, "a line number")?;
            if self.token.kind == Kind::String {
                self.bump();
            }
            return Ok(None);
        }
        if !keyword.eq_ignore_ascii_case("pragma") {
            return Err(self.expected("#pragma"));
        }
        self.bump();
        let name = self.name("the name of the pragma")?;
        let mut arguments = Vec::new();
        if self.accept(Kind::LeftParen) {
            loop {
                let span = self.token.span;
                arguments.push(match self.token.kind {
                    Kind::Word => {
                        let word = self.name("an argument")?;
                        Literal { span, kind: LiteralKind::String(Cow::Borrowed(word.text)) }
                    }
                    _ => self.constant()?,
                });
                if !self.accept(Kind::Comma) {
                    break;
                }
            }
            self.take(Kind::RightParen, "')' after the arguments of the pragma")?;
        }
        Ok(Some(Item::Pragma(Pragma { name, arguments })))
    }

    fn qualifier_declaration(&mut self) -> Parsed<QualifierItem<'a>> {
        let name = self.name("the name of the qualifier")?;
        self.take(Kind::Colon, "':' and the type of the qualifier")?;
        let mut item = QualifierItem {
            name,
            type_name: None,
            array: None,
            default: None,
            scopes: Scopes::default(),
            flavors: Flavors::default(),
        };
        let type_name = self.name("the type of the qualifier")?;
        if self.flavor(type_name, &mut item.flavors)? {
            while self.token.kind == Kind::Word {
                let word = self.name("a flavor")?;
                self.known_flavor(word, &mut item.flavors)?;
            }
            self.end_of_item();
            return Ok(item);
        }
        item.type_name = Some(type_name);
        item.array = self.array_bounds()?;
        if self.accept(Kind::Equals) {
            item.default = Some(self.value(0)?);
        }
        self.take(Kind::Comma, "', Scope(…)'")?;
        let word = self.name("Scope(…)")?;
        if !word.is("scope") {
            return Err(self.mistake(word.span, "expected 'Scope(…)', which every qualifier declaration has"));
        }
        self.take(Kind::LeftParen, "'(' after Scope")?;
        loop {
            let word = self.name("a scope")?;
            item.scopes = match scope(word.text) {
                Some(Some(scope)) => item.scopes.with(scope),
                Some(None) => Scopes::ANY,
                None => {
                    let message = format!("{} is no scope", quote(word.text));
                    let hint = "scopes are class, association, indication, property, reference, method, \
                                parameter and any";
                    self.mistakes.push(Diagnostic::new(self.source, word.span, message).hint(hint));
                    return Err(Stop);
                }
            };
            if !self.accept(Kind::Comma) {
                break;
            }
        }
        self.take(Kind::RightParen, "')' after the scopes")?;
        if self.accept(Kind::Comma) {
            let word = self.name("Flavor(…)")?;
            if !word.is("flavor") {
                return Err(self.mistake(word.span, "expected 'Flavor(…)'"));
            }
            self.take(Kind::LeftParen, "'(' after Flavor")?;
            loop {
                let word = self.name("a flavor")?;
                self.known_flavor(word, &mut item.flavors)?;
                if !self.accept(Kind::Comma) {
                    break;
                }
            }
            self.take(Kind::RightParen, "')' after the flavors")?;
        }
        self.take(Kind::Semicolon, "';' after the qualifier declaration")?;
        Ok(item)
    }

    fn class(&mut self, qualifiers: Vec<QualifierUse<'a>>) -> Parsed<ClassItem<'a>> {
        let name = self.name("the name of the class")?;
        let alias = self.alias()?;
        let superclass =
            if self.accept(Kind::Colon) { Some(self.name("the name of the superclass")?) } else { None };
        self.take(Kind::LeftBrace, "'{' and the features of the class")?;
        let mut features = Vec::new();
        while self.token.kind != Kind::RightBrace {
            features.push(self.feature()?);
        }
        self.bump();
        self.end_of_item();
        Ok(ClassItem { qualifiers, name, alias, superclass, features })
    }

    fn feature(&mut self) -> Parsed<Feature<'a>> {
        let qualifiers = self.qualifiers()?;
        if self.token.kind != Kind::Word && qualifiers.is_empty() {
            return Err(self.expected("a property, a method or '}'"));
        }
        let data_type = self.data_type()?;
        let name = self.name("the name of a property or method")?;
        let kind = if self.accept(Kind::LeftParen) {
            let mut parameters = Vec::new();
            if self.token.kind != Kind::RightParen {
                loop {
                    parameters.push(self.parameter()?);
                    if !self.accept(Kind::Comma) {
                        break;
                    }
                }
            }
            self.take(Kind::RightParen, "',' or ')' after the parameter")?;
            FeatureKind::Method(parameters)
        } else {
            let array = self.array_bounds()?;
            let default = if self.accept(Kind::Equals) { Some(self.value(0)?) } else { None };
            FeatureKind::Property { array, default }
        };
        self.take(Kind::Semicolon, "';'")?;
        Ok(Feature { qualifiers, data_type, name, kind })
    }

    fn parameter(&mut self) -> Parsed<ParameterItem<'a>> {
        let qualifiers = self.qualifiers()?;
        let data_type = self.data_type()?;
        let name = self.name("the name of the parameter")?;
        let array = self.array_bounds()?;
        Ok(ParameterItem { qualifiers, data_type, name, array })
    }

    fn data_type(&mut self) -> Parsed<DataType<'a>> {
        let word = self.name("a type or a class")?;
        if word.is("void") || CimType::from_keyword(word.text).is_some_and(|t| t != CimType::Reference) {
            if self.token.kind == Kind::LeftBracket {
                let message = "expected a name";
                let hint = "the brackets of an array stand after the name: 'string Names[];'";
                self.mistakes.push(Diagnostic::new(self.source, self.token.span, message).hint(hint));
                return Err(Stop);
            }
            return Ok(DataType::Named(word));
        }
        if self.peek_word().is("ref") {
            self.bump();
            return Ok(DataType::Reference(word));
        }
        if word.is("object") {
            let class = if self.accept(Kind::Colon) { Some(self.name("a class")?) } else { None };
            return Ok(DataType::Object(class));
        }
        let message = format!("{} is no type", quote(word.text));
        let known = CimType::ALL.iter().map(|t| t.keyword()).filter(|t| *t != "reference");
        let hint = did_you_mean(word.text, known)
            .unwrap_or_else(|| format!("a reference is written '{} REF Name'", word.text));
        self.mistakes.push(Diagnostic::new(self.source, word.span, message).hint(hint));
        Err(Stop)
    }

    /// What follows the keyword `instance`, up to the closing brace.
    fn instance(&mut self, depth: u32) -> Parsed<InstanceItem<'a>> {
        let of = self.name("'of'")?;
        if !of.is("of") {
            return Err(self.mistake(of.span, "expected 'of' after 'instance'"));
        }
        let class = self.name("the class of the instance")?;
        let alias = self.alias()?;
        self.take(Kind::LeftBrace, "'{' and the values of the instance")?;
        let mut values = Vec::new();
        while self.token.kind != Kind::RightBrace {
            if self.token.kind != Kind::Word && self.token.kind != Kind::LeftBracket {
                return Err(self.expected("a property name or '}'"));
            }
            // DSP0004 lets qualifiers stand here; instances do not have any (7.9).
            self.qualifiers()?;
            let name = self.name("a property name")?;
            self.take(Kind::Equals, "'=' and the value of the property")?;
            let value = self.value(depth)?;
            self.take(Kind::Semicolon, "';' after the value")?;
            values.push((name, value));
        }
        self.bump();
        Ok(InstanceItem { class, alias, values })
    }

    // ---- Parts of items

    fn qualifiers(&mut self) -> Parsed<Vec<QualifierUse<'a>>> {
        let mut qualifiers = Vec::new();
        if !self.accept(Kind::LeftBracket) {
            return Ok(qualifiers);
        }
        loop {
            qualifiers.push(self.qualifier()?);
            if !self.accept(Kind::Comma) {
                break;
            }
        }
        self.take(Kind::RightBracket, "',' or ']' after the qualifier")?;
        Ok(qualifiers)
    }

    fn qualifier(&mut self) -> Parsed<QualifierUse<'a>> {
        let name = self.name("the name of a qualifier")?;
        let start = self.token.span;
        let value = match self.token.kind {
            Kind::LeftParen => {
                self.bump();
                let first = self.value(0)?;
                // Old files list the values of an array in parentheses.
                let value = if self.token.kind == Kind::Comma {
                    let mut items = vec![first];
                    while self.accept(Kind::Comma) {
                        items.push(self.constant()?);
                    }
                    Literal { span: start.to(self.token.span), kind: LiteralKind::Array(items) }
                } else {
                    first
                };
                self.take(Kind::RightParen, "')' after the value of the qualifier")?;
                Some(value)
            }
            Kind::LeftBrace => Some(self.value(0)?),
            _ => None,
        };
        let mut flavors = Flavors::default();
        if self.accept(Kind::Colon) {
            loop {
                let word = self.name("a flavor")?;
                self.known_flavor(word, &mut flavors)?;
                if self.token.kind != Kind::Word {
                    break;
                }
            }
        }
        Ok(QualifierUse { name, value, flavors })
    }

    fn known_flavor(&mut self, word: Word<'a>, flavors: &mut Flavors) -> Parsed<()> {
        if self.flavor(word, flavors)? {
            return Ok(());
        }
        let message = format!("{} is no flavor", quote(word.text));
        let hint = "flavors are EnableOverride, DisableOverride, ToSubclass, Restricted, Translatable and ToInstance";
        self.mistakes.push(Diagnostic::new(self.source, word.span, message).hint(hint));
        Err(Stop)
    }

    /// Notes a flavor keyword; false if the word is none.
    fn flavor(&mut self, word: Word<'a>, flavors: &mut Flavors) -> Parsed<bool> {
        let (slot, value) = match () {
            () if word.is("EnableOverride") => (&mut flavors.overridable, true),
            () if word.is("DisableOverride") => (&mut flavors.overridable, false),
            () if word.is("ToSubclass") => (&mut flavors.to_subclass, true),
            () if word.is("Restricted") || word.is("NotToSubclass") => (&mut flavors.to_subclass, false),
            () if word.is("ToInstance") => (&mut flavors.to_instance, true),
            () if word.is("NotToInstance") => (&mut flavors.to_instance, false),
            () if word.is("Translatable") => (&mut flavors.translatable, true),
            // WMI: the text stands in another file of the same class. It says nothing about the qualifier.
            () if word.is("Amended") => return Ok(true),
            () => return Ok(false),
        };
        if *slot == Some(!value) {
            let message = format!("{} contradicts an earlier flavor", quote(word.text));
            return Err(self.mistake(word.span, message));
        }
        *slot = Some(value);
        Ok(true)
    }

    fn alias(&mut self) -> Parsed<Option<Word<'a>>> {
        if !self.peek_word().is("as") {
            return Ok(None);
        }
        self.bump();
        let word = self.peek_word();
        self.take(Kind::Alias, "an alias such as $Name")?;
        Ok(Some(word))
    }

    fn array_bounds(&mut self) -> Parsed<Option<ArrayBounds>> {
        if !self.accept(Kind::LeftBracket) {
            return Ok(None);
        }
        let mut size = None;
        if self.token.kind == Kind::Number {
            let word = self.peek_word();
            size = match number(word.text) {
                Ok(LiteralKind::Integer(n)) if n > 0 => u32::try_from(n).ok(),
                _ => None,
            };
            if size.is_none() {
                return Err(self.mistake(word.span, "the size of an array is a whole number above 0"));
            }
            self.bump();
        }
        self.take(Kind::RightBracket, "']'")?;
        Ok(Some(ArrayBounds { size }))
    }

    // ---- Values

    fn value(&mut self, depth: u32) -> Parsed<Literal<'a>> {
        if self.token.kind != Kind::LeftBrace {
            return self.single(depth);
        }
        let start = self.token.span;
        self.bump();
        let mut items = Vec::new();
        if self.token.kind != Kind::RightBrace {
            loop {
                items.push(self.single(depth)?);
                if !self.accept(Kind::Comma) {
                    break;
                }
            }
        }
        self.take(Kind::RightBrace, "',' or '}' after the element")?;
        Ok(Literal { span: start.to(self.last), kind: LiteralKind::Array(items) })
    }

    fn single(&mut self, depth: u32) -> Parsed<Literal<'a>> {
        let word = self.peek_word();
        match self.token.kind {
            Kind::Alias => {
                self.bump();
                Ok(Literal { span: word.span, kind: LiteralKind::Alias(word.text) })
            }
            Kind::Word if word.is("instance") => {
                if depth == MAX_DEPTH {
                    return Err(self.mistake(word.span, "instances are nested too deep"));
                }
                self.bump();
                let instance = self.instance(depth + 1)?;
                let span = word.span.to(self.last);
                Ok(Literal { span, kind: LiteralKind::Instance(Box::new(instance)) })
            }
            _ => self.constant(),
        }
    }

    fn constant(&mut self) -> Parsed<Literal<'a>> {
        let word = self.peek_word();
        let kind = match self.token.kind {
            Kind::String => return self.string(),
            Kind::Number => match number(word.text) {
                Ok(kind) => kind,
                Err(message) => return Err(self.mistake(word.span, message)),
            },
            Kind::Char => match character(word.text) {
                Ok(unit) => LiteralKind::Char(unit),
                Err(message) => return Err(self.mistake(word.span, message)),
            },
            Kind::Word if word.is("null") => LiteralKind::Null,
            Kind::Word if word.is("true") => LiteralKind::Boolean(true),
            Kind::Word if word.is("false") => LiteralKind::Boolean(false),
            _ => return Err(self.expected("a value")),
        };
        self.bump();
        Ok(Literal { span: word.span, kind })
    }

    /// Adjacent strings are one, whatever blanks and comments stand between them.
    fn string(&mut self) -> Parsed<Literal<'a>> {
        let first = self.peek_word();
        self.bump();
        let inner = &first.text[1..first.text.len() - 1];
        if self.token.kind != Kind::String && !inner.as_bytes().contains(&b'\\') {
            return Ok(Literal { span: first.span, kind: LiteralKind::String(Cow::Borrowed(inner)) });
        }
        // Joined in one place for all, so that each gets just the room it needs.
        let mut text = Unescaper::reusing(std::mem::take(&mut self.joined));
        self.add_part(&mut text, first)?;
        while self.token.kind == Kind::String {
            let part = self.peek_word();
            self.add_part(&mut text, part)?;
            self.bump();
        }
        let span = first.span.to(self.last);
        match text.finish() {
            Ok(text) => {
                self.joined = text;
                Ok(Literal { span, kind: LiteralKind::String(Cow::Owned(self.joined.as_str().to_owned())) })
            }
            Err(message) => Err(self.mistake(self.last, message)),
        }
    }

    fn add_part(&mut self, text: &mut Unescaper, part: Word<'a>) -> Parsed<()> {
        text.add(part.text).map_err(|flaw| {
            let start = part.span.start + flaw.at as u32;
            self.mistake(Span { start, end: start + flaw.length as u32 }, flaw.message)
        })
    }
}

/// The scope of a keyword; `Some(None)` for `any`.
fn scope(word: &str) -> Option<Option<QualifierScope>> {
    Some(Some(match word.to_ascii_lowercase().as_str() {
        "class" => QualifierScope::Class,
        "association" => QualifierScope::Association,
        "indication" => QualifierScope::Indication,
        "property" => QualifierScope::Property,
        "reference" => QualifierScope::Reference,
        "method" => QualifierScope::Method,
        "parameter" => QualifierScope::Parameter,
        "any" => return Some(None),
        _ => return None,
    }))
}
