//! From bytes to a flat tree of the elements that DSP0201 knows.
//!
//! The tokens come from quick-xml, which leaves several rules of XML 1.0 to its caller (one root, every element closed, no
//! forbidden characters, no unknown entity). They are checked here, once, together with the limits, so that everything behind
//! this file works on a small tree that is known to be sound. A DOCTYPE is refused: CIM-XML needs none, and with it go all
//! entity expansions.

use super::error::Refusal;
pub(super) use super::vocabulary::{Attr, Tag};
use quick_xml::XmlVersion;
use quick_xml::errors::Error;
use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;

/// How much a message may ask for before it is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the whole message.
    pub bytes: usize,
    /// How deep elements may nest.
    pub depth: usize,
    /// Elements in all.
    pub elements: usize,
    /// Attributes of one element.
    pub attributes: usize,
    /// Bytes of one text or attribute value, after unescaping.
    pub text: usize,
    /// How deep embedded objects may nest in embedded objects.
    pub embedded: usize,
}

impl Default for Limits {
    /// What a server takes from a client.
    fn default() -> Self {
        Self { bytes: 16 << 20, depth: 64, elements: 100_000, attributes: 24, text: 8 << 20, embedded: 8 }
    }
}

impl Limits {
    /// What a client takes from a server that it chose to ask: enumerations may be long.
    pub fn for_responses() -> Self {
        Self { bytes: 256 << 20, elements: 4_000_000, text: 64 << 20, ..Self::default() }
    }
}

/// The end of a chain of siblings.
const NONE: u32 = u32::MAX;

/// A range of [`Document::text`].
type Span = (u32, u32);

struct Node {
    tag: Tag,
    attributes: Span,
    first_child: u32,
    next: u32,
    text: Span,
}

/// A message as a tree. All text lies in one buffer, so that a message costs three allocations whatever its size.
pub(super) struct Document {
    nodes: Vec<Node>,
    attributes: Vec<(Attr, Span)>,
    text: String,
}

impl Document {
    /// Reads the bytes of a message; a byte order mark is ignored.
    pub(super) fn from_bytes(bytes: &[u8], limits: &Limits) -> Result<Self, Refusal> {
        let text = std::str::from_utf8(bytes)
            .map_err(|e| Refusal::not_valid(format!("invalid UTF-8 at byte {}", e.valid_up_to())))?;
        Self::from_text(text.strip_prefix('\u{feff}').unwrap_or(text), limits)
    }

    /// Reads a text: a message or an embedded object.
    pub(super) fn from_text(text: &str, limits: &Limits) -> Result<Self, Refusal> {
        if text.len() > limits.bytes.min(NONE as usize) {
            return Err(Refusal::TooLarge(format!("{} bytes; {} are allowed", text.len(), limits.bytes)));
        }
        if text.bytes().any(|b| b < 0x20 && !matches!(b, b'\t' | b'\n' | b'\r')) {
            return Err(Refusal::NotWellFormed("a control character that XML does not have".into()));
        }
        let mut builder = Builder::new(text.len(), limits);
        let mut reader = Reader::from_str(text);
        loop {
            match reader.read_event() {
                Ok(Event::Eof) => break,
                Ok(event) => builder.take(event)?,
                Err(e) => return Err(syntax(&e)),
            }
        }
        builder.finish()
    }

    /// The outermost element.
    pub(super) fn root(&self) -> Element<'_> {
        Element { document: self, at: 0 }
    }
}

fn syntax(error: &Error) -> Refusal {
    Refusal::NotWellFormed(error.to_string())
}

/// Makes a [`Document`] from events.
struct Builder<'l> {
    limits: &'l Limits,
    document: Document,
    /// The elements that are open and the last child of each.
    open: Vec<(u32, u32)>,
}

impl<'l> Builder<'l> {
    fn new(length: usize, limits: &'l Limits) -> Self {
        // An element takes about 40 bytes of a typical message; a wrong guess costs a reallocation.
        let guess = (length / 40).min(limits.elements);
        Self {
            limits,
            document: Document {
                nodes: Vec::with_capacity(guess),
                attributes: Vec::with_capacity(guess),
                text: String::with_capacity(length / 2),
            },
            open: Vec::with_capacity(16),
        }
    }

    fn take(&mut self, event: Event<'_>) -> Result<(), Refusal> {
        match event {
            Event::Start(start) => self.start(&start),
            Event::Empty(start) => {
                self.start(&start)?;
                self.end();
                Ok(())
            }
            Event::End(_) => {
                self.end();
                Ok(())
            }
            Event::Text(text) => self.characters(&text.xml10_content()),
            Event::CData(text) => self.characters(&text.xml10_content()),
            Event::GeneralRef(reference) => {
                let c = match reference.resolve_char_ref().map_err(|e| syntax(&e))? {
                    Some(c) => c,
                    None => match &*reference {
                        "lt" => '<',
                        "gt" => '>',
                        "amp" => '&',
                        "quot" => '"',
                        "apos" => '\'',
                        other => {
                            return Err(Refusal::NotWellFormed(format!("&{other}; is not declared")));
                        }
                    },
                };
                if c < ' ' && !matches!(c, '\t' | '\n' | '\r') {
                    return Err(Refusal::NotWellFormed("a reference to a control character".into()));
                }
                self.characters(c.encode_utf8(&mut [0; 4]))
            }
            Event::DocType(_) => Err(Refusal::not_valid("a DOCTYPE is not accepted")),
            Event::Decl(declaration) => match declaration.encoding() {
                None => Ok(()),
                Some(Ok(name))
                    if ["utf-8", "utf8", "us-ascii"].iter().any(|u| name.eq_ignore_ascii_case(u)) =>
                {
                    Ok(())
                }
                Some(Ok(name)) => Err(Refusal::not_valid(format!("encoding {name}; only UTF-8 is accepted"))),
                Some(Err(e)) => Err(Refusal::NotWellFormed(e.to_string())),
            },
            Event::Comment(_) | Event::PI(_) | Event::Eof => Ok(()),
        }
    }

    fn start(&mut self, start: &BytesStart<'_>) -> Result<(), Refusal> {
        let name = start.name();
        let name = name.as_ref();
        let Some(tag) = Tag::from_name(name) else {
            return Err(Refusal::not_valid(format!("{} is no element of CIM-XML", shorten(name))));
        };
        if self.open.is_empty() && !self.document.nodes.is_empty() {
            return Err(Refusal::NotWellFormed(format!("{name} follows after the outermost element")));
        }
        if let Some((parent, _)) = self.open.last()
            && self.document.nodes[*parent as usize].tag.is_text()
        {
            return Err(Refusal::not_valid(format!("{name} within an element that holds text")));
        }
        if self.open.len() >= self.limits.depth {
            return Err(Refusal::not_valid(format!("more than {} levels of elements", self.limits.depth)));
        }
        if self.document.nodes.len() >= self.limits.elements {
            return Err(Refusal::TooLarge(format!("more than {} elements", self.limits.elements)));
        }
        let first_attribute = position(self.document.attributes.len());
        for (count, attribute) in start.attributes().enumerate() {
            let attribute = attribute.map_err(|e| Refusal::NotWellFormed(format!("{name}: {e}")))?;
            if count >= self.limits.attributes {
                return Err(Refusal::not_valid(format!("{name} has too many attributes")));
            }
            let value = attribute.normalized_value(XmlVersion::Explicit1_0).map_err(|e| syntax(&e))?;
            if attribute.value.contains('<') || value.bytes().any(|b| b < 0x20 && !b"\t\n\r".contains(&b)) {
                return Err(Refusal::NotWellFormed(format!("{name}: a forbidden character in an attribute")));
            }
            if let Some(attr) = Attr::from_name(attribute.key.as_ref()) {
                self.check_text(value.len())?;
                let from = position(self.document.text.len());
                self.document.text.push_str(&value);
                self.document.attributes.push((attr, (from, position(self.document.text.len()))));
            }
        }
        let at = position(self.document.nodes.len());
        let text = position(self.document.text.len());
        if let Some((parent, last_child)) = self.open.last_mut() {
            if *last_child == NONE {
                self.document.nodes[*parent as usize].first_child = at;
            } else {
                self.document.nodes[*last_child as usize].next = at;
            }
            *last_child = at;
        }
        self.document.nodes.push(Node {
            tag,
            attributes: (first_attribute, position(self.document.attributes.len())),
            first_child: NONE,
            next: NONE,
            text: (text, text),
        });
        self.open.push((at, NONE));
        Ok(())
    }

    /// quick-xml has checked that the name fits.
    fn end(&mut self) {
        if let Some((at, _)) = self.open.pop() {
            let node = &mut self.document.nodes[at as usize];
            if node.tag.is_text() {
                node.text.1 = position(self.document.text.len());
            }
        }
    }

    fn characters(&mut self, text: &str) -> Result<(), Refusal> {
        let parent = self.open.last().map(|(at, _)| &self.document.nodes[*at as usize]);
        match parent {
            Some(node) if node.tag.is_text() => {
                self.check_text(self.document.text.len() - node.text.0 as usize + text.len())?;
                self.document.text.push_str(text);
                Ok(())
            }
            _ if text.bytes().all(|b| matches!(b, b' ' | b'\t' | b'\n' | b'\r')) => Ok(()),
            Some(node) => Err(Refusal::not_valid(format!("text within {}", node.tag.name()))),
            None => Err(Refusal::NotWellFormed("text outside of the outermost element".into())),
        }
    }

    fn check_text(&self, length: usize) -> Result<(), Refusal> {
        if length > self.limits.text {
            return Err(Refusal::TooLarge(format!("a text of more than {} bytes", self.limits.text)));
        }
        Ok(())
    }

    fn finish(self) -> Result<Document, Refusal> {
        match self.open.last() {
            Some((at, _)) => {
                let name = self.document.nodes[*at as usize].tag.name();
                Err(Refusal::NotWellFormed(format!("{name} is not closed")))
            }
            None if self.document.nodes.is_empty() => Err(Refusal::NotWellFormed("no element".into())),
            None => Ok(self.document),
        }
    }
}

/// Every position fits: a message is shorter than 4 GiB and unescaping makes nothing longer.
fn position(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(NONE)
}

/// The beginning of a text that a peer sent, for messages.
pub(super) fn shorten(text: &str) -> &str {
    match text.char_indices().nth(60) {
        Some((at, _)) => &text[..at],
        None => text,
    }
}

/// An element of a [`Document`].
#[derive(Clone, Copy)]
pub(super) struct Element<'d> {
    document: &'d Document,
    at: u32,
}

impl<'d> Element<'d> {
    fn node(self) -> &'d Node {
        &self.document.nodes[self.at as usize]
    }

    fn slice(self, span: Span) -> &'d str {
        &self.document.text[span.0 as usize..span.1 as usize]
    }

    pub(super) fn tag(self) -> Tag {
        self.node().tag
    }

    /// The text of VALUE, KEYVALUE or HOST, with nothing trimmed.
    pub(super) fn text(self) -> &'d str {
        self.slice(self.node().text)
    }

    pub(super) fn attr(self, wanted: Attr) -> Option<&'d str> {
        let (from, to) = self.node().attributes;
        self.document.attributes[from as usize..to as usize]
            .iter()
            .find(|(attr, _)| *attr == wanted)
            .map(|(_, span)| self.slice(*span))
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

    pub(super) fn children(self) -> Children<'d> {
        Children { document: self.document, next: self.node().first_child }
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

/// Iterator over the children of an [`Element`].
pub(super) struct Children<'d> {
    document: &'d Document,
    next: u32,
}

impl<'d> Iterator for Children<'d> {
    type Item = Element<'d>;

    fn next(&mut self) -> Option<Element<'d>> {
        if self.next == NONE {
            return None;
        }
        let element = Element { document: self.document, at: self.next };
        self.next = element.node().next;
        Some(element)
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
