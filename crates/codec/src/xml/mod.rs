//! XML for both protocols: from a text to events that are known to be sound, and a tree to put them in.
//!
//! The tokens come from quick-xml, which leaves several rules of XML 1.0 to its caller (one root, every element closed, no
//! forbidden characters, no unknown entity). They are checked here, once, together with the limits, so that everything behind
//! this module works on a small tree that is known to be sound. A DOCTYPE is refused: no protocol here needs one, and with it go
//! all entity expansions. Which elements there are, and where text may stand, is the business of each protocol.

mod tree;

pub(crate) use tree::{Builder, Element, Names, Span, Tree};

use quick_xml::XmlVersion;
use quick_xml::errors::Error;
use quick_xml::events::{BytesDecl, BytesRef, BytesStart, Event};
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
    /// Properties, methods, parameters or qualifiers of one object, and names in a list of properties. Many of them are looked up
    /// by going through all of them.
    pub features: usize,
    /// Namespaces of a message beside those that WS-Management gives a meaning to, and prefixes that are declared at once.
    pub namespaces: usize,
}

impl Default for Limits {
    /// What a server takes from a client.
    fn default() -> Self {
        Self {
            bytes: 16 << 20,
            depth: 64,
            elements: 100_000,
            attributes: 24,
            text: 8 << 20,
            embedded: 8,
            features: 1024,
            namespaces: 128,
        }
    }
}

impl Limits {
    /// What a client takes from a server that it chose to ask: enumerations may be long.
    pub fn for_responses() -> Self {
        Self { bytes: 256 << 20, elements: 4_000_000, text: 64 << 20, namespaces: 4096, ..Self::default() }
    }
}

/// What is wrong with a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trouble {
    pub(crate) kind: Kind,
    /// The same for a person.
    pub(crate) text: String,
}

/// Of which kind it is; each protocol has its own answer to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Not well-formed.
    Syntax,
    /// Not UTF-8.
    Encoding,
    /// Well-formed, but no message has a DOCTYPE.
    DocType,
    /// Deeper than allowed, or an element with more attributes.
    Shape,
    /// Larger than allowed.
    Size,
}

impl Trouble {
    pub(crate) fn syntax(text: impl Into<String>) -> Self {
        Self { kind: Kind::Syntax, text: text.into() }
    }

    pub(crate) fn size(text: impl Into<String>) -> Self {
        Self { kind: Kind::Size, text: text.into() }
    }

    fn other(kind: Kind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into() }
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        // It quotes names that may be as long as the text.
        Self::syntax(cut(&error.to_string(), MOST_WORDS))
    }
}

/// What a protocol makes of a text.
pub(crate) trait Sink {
    /// How the protocol refuses.
    type Refusal: From<Trouble>;

    /// An attribute of the element that is opened next. The value is normalised.
    fn attribute(&mut self, key: &str, value: &str) -> Result<(), Self::Refusal>;

    /// An element begins, all its attributes having been told.
    fn open(&mut self, name: &str) -> Result<(), Self::Refusal>;

    /// Text within the element that was opened last and is not closed; a text may come in several pieces.
    fn characters(&mut self, text: &str) -> Result<(), Self::Refusal>;

    /// The element that was opened last and is not closed ends.
    fn close(&mut self);

    /// The name of that element, for messages.
    fn innermost(&self) -> &str;
}

/// The text in the bytes of a message; a byte order mark is ignored.
pub(crate) fn text_of(bytes: &[u8]) -> Result<&str, Trouble> {
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err(Trouble::other(Kind::Encoding, "UTF-16; only UTF-8 is accepted"));
    }
    let text = std::str::from_utf8(bytes)
        .map_err(|e| Trouble::other(Kind::Encoding, format!("invalid UTF-8 at byte {}", e.valid_up_to())))?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

/// Tells `sink` what stands in a text: a message or an embedded object.
pub(crate) fn read<S: Sink>(text: &str, limits: &Limits, sink: &mut S) -> Result<(), S::Refusal> {
    if text.len() > limits.bytes.min(tree::LARGEST) {
        return Err(Trouble::size(format!("{} bytes; {} are allowed", text.len(), limits.bytes)).into());
    }
    if text.bytes().any(is_control) || has_no_character(text) {
        return Err(Trouble::syntax("a control character that XML does not have").into());
    }
    let mut place = Place { limits, depth: 0, elements: 0 };
    let mut reader = Reader::from_str(text);
    loop {
        match reader.read_event() {
            Ok(Event::Eof) => break,
            Ok(Event::Start(start)) => place.open(&start, sink)?,
            Ok(Event::Empty(start)) => {
                place.open(&start, sink)?;
                place.close(sink);
            }
            // quick-xml has checked that the name fits.
            Ok(Event::End(_)) => place.close(sink),
            Ok(Event::Text(text)) => place.characters(&text.xml10_content(), sink)?,
            Ok(Event::CData(text)) => place.characters(&text.xml10_content(), sink)?,
            Ok(Event::GeneralRef(reference)) => {
                place.characters(referred(&reference)?.encode_utf8(&mut [0; 4]), sink)?;
            }
            Ok(Event::DocType(_)) => {
                return Err(Trouble::other(Kind::DocType, "a DOCTYPE is not accepted").into());
            }
            Ok(Event::Decl(declaration)) => check_encoding(&declaration)?,
            Ok(Event::Comment(_) | Event::PI(_)) => {}
            Err(error) => return Err(Trouble::from(error).into()),
        }
    }
    match (place.depth, place.elements) {
        (0, 0) => Err(Trouble::syntax("no element").into()),
        (0, _) => Ok(()),
        _ => Err(Trouble::syntax(format!("{} is not closed", shorten(sink.innermost()))).into()),
    }
}

/// The beginning of a text that a peer sent, for messages.
pub(crate) fn shorten(text: &str) -> &str {
    cut(text, 80)
}

/// How many characters of a text of the sender's are repeated at most where it has to be repeated.
pub(crate) const MOST_WORDS: usize = 400;

/// The first so many characters of a text.
pub(crate) fn cut(text: &str, most: usize) -> &str {
    match text.char_indices().nth(most) {
        Some((at, _)) => &text[..at],
        None => text,
    }
}

/// Whether nothing stands in a text but white space.
pub(crate) fn is_white(text: &str) -> bool {
    text.bytes().all(|b| matches!(b, b' ' | b'\t' | b'\n' | b'\r'))
}

/// Where in a text the reader is.
struct Place<'l> {
    limits: &'l Limits,
    /// How many elements are open.
    depth: usize,
    /// How many there were.
    elements: usize,
}

impl Place<'_> {
    fn open<S: Sink>(&mut self, start: &BytesStart<'_>, sink: &mut S) -> Result<(), S::Refusal> {
        let name = start.name();
        let name = name.as_ref();
        let Limits { depth, elements, attributes, text, .. } = *self.limits;
        if self.depth == 0 && self.elements > 0 {
            return Err(
                Trouble::syntax(format!("{} follows after the outermost element", shorten(name))).into()
            );
        }
        if self.depth >= depth {
            return Err(Trouble::other(Kind::Shape, format!("more than {depth} levels of elements")).into());
        }
        if self.elements >= elements {
            return Err(Trouble::size(format!("more than {elements} elements")).into());
        }
        for (count, attribute) in start.attributes().enumerate() {
            let attribute = attribute.map_err(|e| Trouble::syntax(format!("{}: {e}", shorten(name))))?;
            // quick-xml compares each with all those before it, so that there must not be many.
            if count >= attributes {
                let text = format!("{} has more than {attributes} attributes", shorten(name));
                return Err(Trouble::other(Kind::Shape, text).into());
            }
            let value = attribute.normalized_value(XmlVersion::Explicit1_0).map_err(Trouble::from)?;
            if attribute.value.contains('<') || value.bytes().any(is_control) || has_no_character(&value) {
                let text = format!("{}: a forbidden character in an attribute", shorten(name));
                return Err(Trouble::syntax(text).into());
            }
            if value.len() > text {
                return Err(too_long(text).into());
            }
            sink.attribute(attribute.key.as_ref(), &value)?;
        }
        sink.open(name)?;
        self.depth += 1;
        self.elements += 1;
        Ok(())
    }

    fn close<S: Sink>(&mut self, sink: &mut S) {
        self.depth -= 1;
        sink.close();
    }

    fn characters<S: Sink>(&self, text: &str, sink: &mut S) -> Result<(), S::Refusal> {
        match self.depth {
            0 if is_white(text) => Ok(()),
            0 => Err(Trouble::syntax("text outside of the outermost element").into()),
            _ => sink.characters(text),
        }
    }
}

/// The character that a reference stands for.
fn referred(reference: &BytesRef<'_>) -> Result<char, Trouble> {
    let c = match reference.resolve_char_ref()? {
        Some(c) => c,
        None => match &**reference {
            "lt" => '<',
            "gt" => '>',
            "amp" => '&',
            "quot" => '"',
            "apos" => '\'',
            other => return Err(Trouble::syntax(format!("&{}; is not declared", shorten(other)))),
        },
    };
    if (c < ' ' && !matches!(c, '\t' | '\n' | '\r')) || NO_CHARACTERS.contains(&c) {
        return Err(Trouble::syntax("a reference to a control character"));
    }
    Ok(c)
}

fn check_encoding(declaration: &BytesDecl<'_>) -> Result<(), Trouble> {
    match declaration.encoding() {
        None => Ok(()),
        Some(Ok(name)) if ["utf-8", "utf8", "us-ascii"].iter().any(|u| name.eq_ignore_ascii_case(u)) => {
            Ok(())
        }
        Some(Ok(name)) => {
            let text = format!("encoding {}; only UTF-8 is accepted", shorten(&name));
            Err(Trouble::other(Kind::Encoding, text))
        }
        Some(Err(e)) => Err(Trouble::syntax(e.to_string())),
    }
}

fn too_long(most: usize) -> Trouble {
    Trouble::size(format!("a text of more than {most} bytes"))
}

/// Whether a byte is a control character that XML 1.0 does not have.
/// What Unicode keeps from being characters, and XML does not have either (XML 1.0 2.2).
const NO_CHARACTERS: [char; 2] = ['\u{fffe}', '\u{ffff}'];

/// Whether one of them is in a text. Nearly always the look at the bytes is enough, which is the faster one.
fn has_no_character(text: &str) -> bool {
    text.bytes().any(|byte| byte == 0xef) && text.contains(NO_CHARACTERS)
}

fn is_control(byte: u8) -> bool {
    byte < 0x20 && !matches!(byte, b'\t' | b'\n' | b'\r')
}
