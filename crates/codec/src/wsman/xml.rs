//! From bytes to a flat tree of elements whose namespaces are resolved.
//!
//! The rules that quick-xml leaves to its caller are checked here once, together with the limits, as the CIM-XML reader does for
//! its own grammar. Prefixes are resolved while reading and forgotten; a DOCTYPE is refused, and with it all entity expansions.

use super::uris;
use crate::cimxml::Limits;
use quick_xml::XmlVersion;
use quick_xml::errors::Error;
use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;

/// A namespace that WS-Management gives a meaning to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ns {
    /// No namespace.
    None,
    Soap,
    Addressing,
    Wsman,
    Identity,
    Enumeration,
    Transfer,
    Eventing,
    Binding,
    Common,
    Xsi,
    Xml,
    Microsoft,
    /// Any other, by its place among those of the document.
    Other(u32),
}

impl Ns {
    fn known(uri: &str) -> Option<Self> {
        Some(match uri {
            "" => Self::None,
            uris::SOAP => Self::Soap,
            uris::ADDRESSING | uris::ADDRESSING_10 => Self::Addressing,
            uris::WSMAN => Self::Wsman,
            uris::IDENTITY | uris::IDENTIFY => Self::Identity,
            uris::ENUMERATION => Self::Enumeration,
            uris::TRANSFER => Self::Transfer,
            uris::EVENTING => Self::Eventing,
            uris::BINDING => Self::Binding,
            uris::COMMON => Self::Common,
            uris::XSI => Self::Xsi,
            uris::XML => Self::Xml,
            uris::MICROSOFT => Self::Microsoft,
            _ => return None,
        })
    }
}

/// Why bytes are no message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum XmlError {
    /// Not well-formed, or not what the rules for messages allow.
    NotXml(String),
    /// Not UTF-8.
    Encoding(String),
    /// A limit is exceeded.
    TooLarge(String),
}

const NONE: u32 = u32::MAX;

/// A range of [`Document::text`].
type Span = (u32, u32);

struct Node {
    ns: Ns,
    name: Span,
    attributes: Span,
    first_child: u32,
    next: u32,
    text: Span,
}

struct Attribute {
    ns: Ns,
    name: Span,
    value: Span,
}

/// A message as a tree.
pub(super) struct Document {
    nodes: Vec<Node>,
    attributes: Vec<Attribute>,
    text: String,
    /// The URIs of [`Ns::Other`].
    uris: Vec<String>,
}

impl Document {
    /// Reads the bytes of a message; a byte order mark is ignored.
    pub(super) fn from_bytes(bytes: &[u8], limits: &Limits) -> Result<Self, XmlError> {
        if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
            return Err(XmlError::Encoding("UTF-16; only UTF-8 is read".into()));
        }
        let text = std::str::from_utf8(bytes)
            .map_err(|e| XmlError::Encoding(format!("invalid UTF-8 at byte {}", e.valid_up_to())))?;
        Self::from_text(text.strip_prefix('\u{feff}').unwrap_or(text), limits)
    }

    fn from_text(text: &str, limits: &Limits) -> Result<Self, XmlError> {
        if text.len() > limits.bytes.min(NONE as usize) {
            let size = format!("{} bytes; {} are allowed", text.len(), limits.bytes);
            return Err(XmlError::TooLarge(size));
        }
        if text.bytes().any(|b| b < 0x20 && !matches!(b, b'\t' | b'\n' | b'\r')) {
            return Err(XmlError::NotXml("a control character that XML does not have".into()));
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

fn syntax(error: &Error) -> XmlError {
    XmlError::NotXml(error.to_string())
}

/// A declaration of a prefix that is in force.
struct Binding {
    prefix: String,
    ns: Ns,
    /// How many elements were open when it was declared.
    depth: usize,
}

struct Builder<'l> {
    limits: &'l Limits,
    document: Document,
    /// The elements that are open and the last child of each.
    open: Vec<(u32, u32)>,
    bindings: Vec<Binding>,
}

impl<'l> Builder<'l> {
    fn new(length: usize, limits: &'l Limits) -> Self {
        // An element takes about 50 bytes of a typical message; a wrong guess costs a reallocation.
        let guess = (length / 50).min(limits.elements);
        Self {
            limits,
            document: Document {
                nodes: Vec::with_capacity(guess),
                attributes: Vec::with_capacity(guess),
                text: String::with_capacity(length / 2),
                uris: Vec::new(),
            },
            open: Vec::with_capacity(16),
            bindings: Vec::with_capacity(16),
        }
    }

    fn take(&mut self, event: Event<'_>) -> Result<(), XmlError> {
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
                        other => return Err(XmlError::NotXml(format!("&{other}; is not declared"))),
                    },
                };
                if c < ' ' && !matches!(c, '\t' | '\n' | '\r') {
                    return Err(XmlError::NotXml("a reference to a control character".into()));
                }
                self.characters(c.encode_utf8(&mut [0; 4]))
            }
            Event::DocType(_) => Err(XmlError::NotXml("a DOCTYPE is not accepted".into())),
            Event::Decl(declaration) => match declaration.encoding() {
                None => Ok(()),
                Some(Ok(name))
                    if ["utf-8", "utf8", "us-ascii"].iter().any(|u| name.eq_ignore_ascii_case(u)) =>
                {
                    Ok(())
                }
                Some(Ok(name)) => Err(XmlError::Encoding(format!("encoding {name}; only UTF-8 is read"))),
                Some(Err(e)) => Err(XmlError::NotXml(e.to_string())),
            },
            Event::Comment(_) | Event::PI(_) | Event::Eof => Ok(()),
        }
    }

    fn start(&mut self, start: &BytesStart<'_>) -> Result<(), XmlError> {
        let name = start.name();
        let name = name.as_ref();
        if self.open.is_empty() && !self.document.nodes.is_empty() {
            return Err(XmlError::NotXml(format!("{} follows after the outermost element", shorten(name))));
        }
        if self.open.len() >= self.limits.depth {
            return Err(XmlError::TooLarge(format!("more than {} levels of elements", self.limits.depth)));
        }
        if self.document.nodes.len() >= self.limits.elements {
            return Err(XmlError::TooLarge(format!("more than {} elements", self.limits.elements)));
        }
        // Declarations first: they hold for the element they stand on.
        let mut plain = Vec::new();
        for (count, attribute) in start.attributes().enumerate() {
            let attribute = attribute.map_err(|e| XmlError::NotXml(format!("{}: {e}", shorten(name))))?;
            // SOAP envelopes declare many prefixes at once.
            if count >= self.limits.attributes * 2 {
                return Err(XmlError::TooLarge(format!("{} has too many attributes", shorten(name))));
            }
            let value = attribute.normalized_value(XmlVersion::Explicit1_0).map_err(|e| syntax(&e))?;
            if attribute.value.contains('<') || value.bytes().any(|b| b < 0x20 && !b"\t\n\r".contains(&b)) {
                return Err(XmlError::NotXml(format!(
                    "{}: a forbidden character in an attribute",
                    shorten(name)
                )));
            }
            let key = attribute.key.as_ref().to_owned();
            match key.strip_prefix("xmlns") {
                Some("") => self.bind("", &value),
                Some(prefix) if prefix.starts_with(':') => self.bind(&prefix[1..], &value),
                _ => plain.push((key, value.into_owned())),
            }
        }
        let first_attribute = position(self.document.attributes.len());
        for (key, value) in plain {
            self.check_text(value.len())?;
            let (prefix, local) = split(&key);
            // An attribute without prefix is in no namespace, whatever the default one is.
            let ns =
                if prefix.is_empty() { Ns::None } else { self.resolve(prefix).unwrap_or(Ns::Other(NONE)) };
            let name = self.push(local);
            let value = self.push(&value);
            self.document.attributes.push(Attribute { ns, name, value });
        }
        let (prefix, local) = split(name);
        let ns = self
            .resolve(prefix)
            .ok_or_else(|| XmlError::NotXml(format!("the prefix of {} is not declared", shorten(name))))?;
        let name = self.push(local);
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
            ns,
            name,
            attributes: (first_attribute, position(self.document.attributes.len())),
            first_child: NONE,
            next: NONE,
            text: (text, text),
        });
        self.open.push((at, NONE));
        Ok(())
    }

    fn push(&mut self, text: &str) -> Span {
        let from = position(self.document.text.len());
        self.document.text.push_str(text);
        (from, position(self.document.text.len()))
    }

    fn bind(&mut self, prefix: &str, uri: &str) {
        let uri = uri.trim();
        let ns = Ns::known(uri).unwrap_or_else(|| {
            let uris = &mut self.document.uris;
            let at = uris.iter().position(|u| u == uri).unwrap_or_else(|| {
                uris.push(uri.to_owned());
                uris.len() - 1
            });
            Ns::Other(position(at))
        });
        self.bindings.push(Binding { prefix: prefix.to_owned(), ns, depth: self.open.len() });
    }

    fn resolve(&self, prefix: &str) -> Option<Ns> {
        match self.bindings.iter().rev().find(|b| b.prefix == prefix) {
            Some(binding) => Some(binding.ns),
            None if prefix.is_empty() => Some(Ns::None),
            None if prefix == "xml" => Some(Ns::Xml),
            None => None,
        }
    }

    /// quick-xml has checked that the name fits.
    fn end(&mut self) {
        self.open.pop();
        while self.bindings.last().is_some_and(|b| b.depth >= self.open.len()) {
            self.bindings.pop();
        }
    }

    fn characters(&mut self, text: &str) -> Result<(), XmlError> {
        match self.open.last() {
            // Text beside elements has no meaning in any message, only white space stands there.
            Some((at, NONE)) => {
                let from = self.document.nodes[*at as usize].text.0;
                self.check_text(self.document.text.len() - from as usize + text.len())?;
                self.document.text.push_str(text);
                self.document.nodes[*at as usize].text.1 = position(self.document.text.len());
                Ok(())
            }
            _ if text.bytes().all(|b| matches!(b, b' ' | b'\t' | b'\n' | b'\r')) => Ok(()),
            Some(_) => Err(XmlError::NotXml("text between elements".into())),
            None => Err(XmlError::NotXml("text outside of the outermost element".into())),
        }
    }

    fn check_text(&self, length: usize) -> Result<(), XmlError> {
        if length > self.limits.text {
            return Err(XmlError::TooLarge(format!("a text of more than {} bytes", self.limits.text)));
        }
        Ok(())
    }

    fn finish(self) -> Result<Document, XmlError> {
        match self.open.last() {
            Some(_) => Err(XmlError::NotXml("an element is not closed".into())),
            None if self.document.nodes.is_empty() => Err(XmlError::NotXml("no element".into())),
            None => Ok(self.document),
        }
    }
}

fn split(name: &str) -> (&str, &str) {
    name.split_once(':').unwrap_or(("", name))
}

fn position(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(NONE)
}

/// The beginning of a text that a peer sent, for messages.
pub(super) fn shorten(text: &str) -> &str {
    match text.char_indices().nth(80) {
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

    pub(super) fn ns(self) -> Ns {
        self.node().ns
    }

    /// The URI of its namespace.
    pub(super) fn uri(self) -> &'d str {
        match self.node().ns {
            Ns::None => "",
            Ns::Soap => uris::SOAP,
            Ns::Addressing => uris::ADDRESSING,
            Ns::Wsman => uris::WSMAN,
            Ns::Identity => uris::IDENTITY,
            Ns::Enumeration => uris::ENUMERATION,
            Ns::Transfer => uris::TRANSFER,
            Ns::Eventing => uris::EVENTING,
            Ns::Binding => uris::BINDING,
            Ns::Common => uris::COMMON,
            Ns::Xsi => uris::XSI,
            Ns::Xml => uris::XML,
            Ns::Microsoft => uris::MICROSOFT,
            Ns::Other(_) => self.other_uri(),
        }
    }

    /// The URI of a namespace that is not among the known ones; empty for those.
    pub(super) fn other_uri(self) -> &'d str {
        match self.node().ns {
            Ns::Other(at) => self.document.uris.get(at as usize).map_or("", String::as_str),
            _ => "",
        }
    }

    pub(super) fn name(self) -> &'d str {
        self.slice(self.node().name)
    }

    pub(super) fn is(self, ns: Ns, name: &str) -> bool {
        self.node().ns == ns && self.name() == name
    }

    /// The text of an element without children, with nothing trimmed; of others, nothing.
    pub(super) fn text(self) -> &'d str {
        if self.has_children() { "" } else { self.slice(self.node().text) }
    }

    /// The text without white space around it.
    pub(super) fn trimmed(self) -> &'d str {
        self.text().trim()
    }

    pub(super) fn attr(self, ns: Ns, name: &str) -> Option<&'d str> {
        let (from, to) = self.node().attributes;
        self.document.attributes[from as usize..to as usize]
            .iter()
            .find(|a| a.ns == ns && self.slice(a.name) == name)
            .map(|a| self.slice(a.value))
    }

    pub(super) fn has_children(self) -> bool {
        self.node().first_child != NONE
    }

    pub(super) fn children(self) -> Children<'d> {
        Children { document: self.document, next: self.node().first_child }
    }

    /// The first child of this name.
    pub(super) fn child(self, ns: Ns, name: &str) -> Option<Element<'d>> {
        self.children().find(|c| c.is(ns, name))
    }

    /// The text of the first child of this name, trimmed.
    pub(super) fn child_text(self, ns: Ns, name: &str) -> Option<&'d str> {
        self.child(ns, name).map(Element::trimmed)
    }

    /// Whether `xsi:nil` says that there is no value.
    pub(super) fn is_nil(self) -> bool {
        self.attr(Ns::Xsi, "nil").is_some_and(|v| matches!(v.trim(), "true" | "1"))
    }

    /// The local part of `xsi:type`. Its prefix is never looked at: Windows' clients do not declare it.
    pub(super) fn type_name(self) -> Option<&'d str> {
        self.attr(Ns::Xsi, "type").map(|t| split(t.trim()).1)
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
    use proptest::prelude::*;

    fn read(text: &str) -> Result<Document, XmlError> {
        Document::from_bytes(text.as_bytes(), &Limits::default())
    }

    #[test]
    fn prefixes_are_resolved_where_they_are_declared() {
        let document = read(
            "<e:Envelope xmlns:e='http://www.w3.org/2003/05/soap-envelope'><e:Body><x xmlns='urn:a' y='1' e:z='2'>\
             <e:in xmlns:e='urn:b'/></x></e:Body></e:Envelope>",
        )
        .unwrap();
        let body = document.root().child(Ns::Soap, "Body").unwrap();
        let x = body.children().next().unwrap();
        assert_eq!((x.name(), x.other_uri()), ("x", "urn:a"));
        assert_eq!((x.attr(Ns::None, "y"), x.attr(Ns::Soap, "z")), (Some("1"), Some("2")));
        assert_eq!(x.children().next().unwrap().other_uri(), "urn:b");
    }

    #[test]
    fn what_is_no_message_is_refused() {
        for bad in [
            "",
            "<a>",
            "<a/><b/>",
            "<a>&x;</a>",
            "<!DOCTYPE a><a/>",
            "<p:a/>",
            "<a>x<b/>y</a>",
            "x<a/>",
            "<a b='<'/>",
            "<a>\u{1}</a>",
            "<a>&#1;</a>",
            "<a b='1' b='2'/>",
            "<?xml version='1.0' encoding='utf-16'?><a/>",
        ] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
        assert!(matches!(Document::from_bytes(b"\xff\xfe<", &Limits::default()), Err(XmlError::Encoding(_))));
        assert!(matches!(
            Document::from_bytes(b"<a>\xff</a>", &Limits::default()),
            Err(XmlError::Encoding(_))
        ));
    }

    #[test]
    fn depth_and_number_are_bounded() {
        let deep = format!("{}{}", "<a>".repeat(65), "</a>".repeat(65));
        assert!(matches!(read(&deep), Err(XmlError::TooLarge(_))));
        let limits = Limits { elements: 10, ..Limits::default() };
        let many = format!("<a>{}</a>", "<b/>".repeat(10));
        assert!(matches!(Document::from_bytes(many.as_bytes(), &limits), Err(XmlError::TooLarge(_))));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(<[/?!]?[a-c:]{0,4}( xmlns(:[ab])?='[ab]')?/?>|[ab&;<>\"']){0,40}") {
            let _ = read(&text);
        }
    }
}
