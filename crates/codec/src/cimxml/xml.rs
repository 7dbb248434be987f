//! Messages as trees of the elements that DSP0201 knows.

use super::error::Refusal;
pub(super) use super::vocabulary::{Attr, Tag};
pub use crate::xml::Limits;
pub(super) use crate::xml::shorten;
use crate::xml::{self, Kind, Sink, Trouble};

/// The names of DSP0201.
#[derive(Clone, Copy)]
pub(super) struct Vocabulary;

impl xml::Names for Vocabulary {
    type Element = Tag;
    type Attribute = Attr;
    type Beside = ();
}

/// A message, or an embedded object.
pub(super) type Document = xml::Tree<Vocabulary>;

/// An element of a [`Document`].
pub(super) type Element<'d> = xml::Element<'d, Vocabulary>;

impl Document {
    /// Reads the bytes of a message; a byte order mark is ignored.
    pub(super) fn from_bytes(bytes: &[u8], limits: &Limits) -> Result<Self, Refusal> {
        Self::from_text(xml::text_of(bytes)?, limits)
    }

    /// Reads a text: a message or an embedded object.
    pub(super) fn from_text(text: &str, limits: &Limits) -> Result<Self, Refusal> {
        // An element takes about 40 bytes of a typical message.
        let mut reading = Reading { limits, tree: xml::Builder::new(text.len(), 40, limits) };
        xml::read(text, limits, &mut reading)?;
        Ok(reading.tree.finish())
    }
}

impl From<Trouble> for Refusal {
    fn from(trouble: Trouble) -> Self {
        match trouble.kind {
            Kind::Syntax => Self::NotWellFormed(trouble.text),
            Kind::Encoding | Kind::DocType | Kind::Shape => Self::NotValid(trouble.text),
            Kind::Size => Self::TooLarge(trouble.text),
        }
    }
}

/// Makes a [`Document`].
struct Reading<'l> {
    limits: &'l Limits,
    tree: xml::Builder<Vocabulary>,
}

impl Sink for Reading<'_> {
    type Refusal = Refusal;

    #[inline]
    fn attribute(&mut self, key: &str, value: &str) -> Result<(), Refusal> {
        // The others are of no interest: namespaces, languages.
        if let Some(attr) = Attr::from_name(key) {
            self.tree.attribute(attr, value);
        }
        Ok(())
    }

    #[inline]
    fn open(&mut self, name: &str) -> Result<(), Refusal> {
        let Some(tag) = Tag::from_name(name) else {
            return Err(Refusal::not_valid(format!("{} is no element of CIM-XML", shorten(name))));
        };
        if self.tree.innermost().is_some_and(|parent| parent.tag().is_text()) {
            return Err(Refusal::not_valid(format!("{name} within an element that holds text")));
        }
        self.tree.open(tag);
        Ok(())
    }

    #[inline]
    fn characters(&mut self, text: &str) -> Result<(), Refusal> {
        match self.tree.innermost().map(Element::tag) {
            Some(tag) if tag.is_text() => Ok(self.tree.characters(text, self.limits)?),
            Some(tag) if !xml::is_white(text) => {
                Err(Refusal::not_valid(format!("text within {}", tag.name())))
            }
            _ => Ok(()),
        }
    }

    #[inline]
    fn close(&mut self) {
        self.tree.close();
    }

    fn innermost(&self) -> &str {
        self.tree.innermost().map_or("", |element| element.tag().name())
    }
}

impl<'d> Element<'d> {
    pub(super) fn tag(self) -> Tag {
        self.kept_name()
    }

    /// The text of VALUE, KEYVALUE or HOST, with nothing trimmed.
    pub(super) fn text(self) -> &'d str {
        self.own_text()
    }

    pub(super) fn attr(self, wanted: Attr) -> Option<&'d str> {
        self.attribute(|attr| *attr == wanted)
    }

    /// An attribute that the grammar requires.
    pub(super) fn required(self, wanted: Attr) -> Result<&'d str, Refusal> {
        self.attr(wanted).ok_or_else(|| {
            Refusal::not_valid(format!("{} without attribute {}", self.tag().name(), wanted.name()))
        })
    }

    /// An attribute that is `true` or `false`.
    pub(super) fn flag(self, wanted: Attr, default: bool) -> Result<bool, Refusal> {
        match self.attr(wanted).map(str::trim) {
            None => Ok(default),
            Some(text) if text.eq_ignore_ascii_case("true") => Ok(true),
            Some(text) if text.eq_ignore_ascii_case("false") => Ok(false),
            Some(text) => Err(Refusal::not_valid(format!(
                "{}=\"{}\" is neither true nor false",
                wanted.name(),
                shorten(text)
            ))),
        }
    }

    /// The only child, if there is one.
    pub(super) fn at_most_one(self) -> Result<Option<Element<'d>>, Refusal> {
        let mut children = self.children();
        let first = children.next();
        match children.next() {
            None => Ok(first),
            Some(second) => Err(self.misplaced(second)),
        }
    }

    /// The child of an element that has exactly one.
    pub(super) fn exactly_one(self) -> Result<Element<'d>, Refusal> {
        self.at_most_one()?.ok_or_else(|| self.incomplete())
    }

    /// The children of an element that has exactly two.
    pub(super) fn exactly_two(self) -> Result<(Element<'d>, Element<'d>), Refusal> {
        let mut children = self.children();
        match (children.next(), children.next(), children.next()) {
            (Some(first), Some(second), None) => Ok((first, second)),
            (_, _, Some(third)) => Err(self.misplaced(third)),
            _ => Err(self.incomplete()),
        }
    }

    /// The same element, if it is the one that the grammar wants.
    pub(super) fn expect(self, tag: Tag) -> Result<Self, Refusal> {
        if self.tag() == tag {
            return Ok(self);
        }
        Err(Refusal::not_valid(format!("{} in the place of {}", self.tag().name(), tag.name())))
    }

    /// The refusal of a child that the grammar does not have here.
    pub(super) fn misplaced(self, child: Element<'_>) -> Refusal {
        Refusal::not_valid(format!("{} has no place in {}", child.tag().name(), self.tag().name()))
    }

    /// The refusal of an element in which a child is missing.
    pub(super) fn incomplete(self) -> Refusal {
        Refusal::not_valid(format!("{} is incomplete", self.tag().name()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Document, Refusal> {
        Document::from_bytes(text.as_bytes(), &Limits::default())
    }

    fn refusal(text: &str) -> Refusal {
        match read(text) {
            Err(refusal) => refusal,
            Ok(_) => panic!("{text} was read"),
        }
    }

    #[test]
    fn text_is_joined_from_all_its_spellings() {
        let document =
            read("\u{feff}<?xml version='1.0' encoding='UTF-8'?><VALUE>a&amp;&#98;<!-- x --><![CDATA[<c>]]> \r\n</VALUE>")
                .unwrap();
        assert_eq!(document.root().text(), "a&b<c> \n");
    }

    #[test]
    fn attributes_are_normalised_and_old_capitals_known() {
        let document =
            read("<PROPERTY NAME='a&#10;b\tc' TYPE=\"string\" EMBEDDEDOBJECT='object' x:y='z'/>").unwrap();
        let root = document.root();
        assert_eq!(root.attr(Attr::Name), Some("a\nb c"));
        assert_eq!(root.attr(Attr::EmbeddedObject), Some("object"));
        assert_eq!(root.attr(Attr::ClassOrigin), None);
    }

    #[test]
    fn children_come_in_order() {
        let document = read("<VALUE.ARRAY> <VALUE>1</VALUE>\n<VALUE.NULL/><VALUE/></VALUE.ARRAY>").unwrap();
        let tags: Vec<Tag> = document.root().children().map(Element::tag).collect();
        assert_eq!(tags, [Tag::Value, Tag::ValueNull, Tag::Value]);
    }

    #[test]
    fn broken_xml_is_told_from_wrong_elements() {
        for text in [
            "",
            "<VALUE>",
            "<VALUE></KEYVALUE>",
            "<VALUE/><VALUE/>",
            "x<VALUE/>",
            "<VALUE>&nbsp;</VALUE>",
            "<VALUE>&#1;</VALUE>",
            "<VALUE>\u{1}</VALUE>",
            "<VALUE>a & b</VALUE>",
            "<CLASS NAME='a' NAME='b'/>",
            "<CLASS NAME='<'/>",
            "<CLASS NAME='&#x2;'/>",
            "<CLASS NAME=a/>",
        ] {
            assert!(matches!(refusal(text), Refusal::NotWellFormed(_)), "{text}: {:?}", refusal(text));
        }
        for text in [
            "<FROB/>",
            "<CLASS>x</CLASS>",
            "<VALUE><VALUE/></VALUE>",
            "<!DOCTYPE CIM SYSTEM 'x'><CIM/>",
            "<!DOCTYPE a [<!ENTITY b 'c'>]><VALUE>&b;</VALUE>",
            "<?xml version='1.0' encoding='UTF-16'?><CIM/>",
        ] {
            assert!(matches!(refusal(text), Refusal::NotValid(_)), "{text}: {:?}", refusal(text));
        }
        let invalid = Document::from_bytes(b"<VALUE>\xff</VALUE>", &Limits::default());
        assert!(matches!(invalid.err(), Some(Refusal::NotValid(_))));
    }

    #[test]
    fn limits_hold() {
        let tight =
            Limits { bytes: 200, depth: 3, elements: 5, attributes: 2, text: 10, ..Limits::default() };
        let read = |text: &str| Document::from_bytes(text.as_bytes(), &tight);
        assert!(read("<VALUE>0123456789</VALUE>").is_ok());
        for text in [
            "<VALUE>0123456789&lt;</VALUE>".to_owned(),
            "<CIM CIMVERSION='01234567890'/>".to_owned(),
            "<CIM ID='1' NAME='2' x='3'/>".to_owned(),
            "<CIM><CIM><CIM><CIM/></CIM></CIM></CIM>".to_owned(),
            "<CIM><CIM/><CIM/><CIM/><CIM/><CIM/></CIM>".to_owned(),
            format!("<CIM>{}</CIM>", " ".repeat(200)),
        ] {
            assert!(read(&text).is_err(), "{text}");
        }
    }
}
