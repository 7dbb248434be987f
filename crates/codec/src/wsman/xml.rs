//! Messages as trees of elements whose namespaces are resolved. Prefixes are resolved while reading and forgotten.

use super::uris;
use crate::cimxml::Limits;
pub(super) use crate::xml::shorten;
use crate::xml::{self, Kind, Sink, Span, Trouble};

/// The longest URI of a namespace, in bytes: as long as a resource URI may be.
const MAX_URI: usize = 2048;

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

/// What WS-Management keeps of names: the namespace and the local part.
#[derive(Clone, Copy)]
pub(super) struct Qualified;

impl xml::Names for Qualified {
    type Element = (Ns, Span);
    type Attribute = (Ns, Span);
    /// The URIs of [`Ns::Other`].
    type Beside = Vec<String>;
}

/// A message.
pub(super) type Document = xml::Tree<Qualified>;

/// An element of a [`Document`].
pub(super) type Element<'d> = xml::Element<'d, Qualified>;

impl Document {
    /// Reads the bytes of a message; a byte order mark is ignored.
    pub(super) fn from_bytes(bytes: &[u8], limits: &Limits) -> Result<Self, XmlError> {
        let text = xml::text_of(bytes)?;
        // SOAP envelopes declare many prefixes at once.
        let limits = Limits { attributes: limits.attributes * 2, ..*limits };
        // An element takes about 50 bytes of a typical message.
        let tree = xml::Builder::new(text.len(), 50, &limits);
        let mut reading = Reading { limits: &limits, tree, bindings: Vec::with_capacity(16) };
        xml::read(text, &limits, &mut reading)?;
        Ok(reading.tree.finish())
    }
}

impl From<Trouble> for XmlError {
    fn from(trouble: Trouble) -> Self {
        match trouble.kind {
            Kind::Syntax | Kind::DocType => Self::NotXml(trouble.text),
            Kind::Encoding => Self::Encoding(trouble.text),
            Kind::Shape | Kind::Size => Self::TooLarge(trouble.text),
        }
    }
}

/// A declaration of a prefix that is in force.
struct Binding {
    prefix: Span,
    ns: Ns,
    /// How many elements were open when it was declared.
    depth: usize,
}

/// Makes a [`Document`].
struct Reading<'l> {
    limits: &'l Limits,
    tree: xml::Builder<Qualified>,
    bindings: Vec<Binding>,
}

impl Sink for Reading<'_> {
    type Refusal = XmlError;

    #[inline]
    fn attribute(&mut self, key: &str, value: &str) -> Result<(), XmlError> {
        match key.strip_prefix("xmlns") {
            Some("") => self.bind("", value),
            Some(prefix) if prefix.starts_with(':') => self.bind(&prefix[1..], value),
            _ => {
                // The declaration of its prefix may follow, so the name is taken apart when all are known.
                let key = self.tree.keep(key);
                self.tree.attribute((Ns::None, key), value);
                Ok(())
            }
        }
    }

    #[inline]
    fn open(&mut self, name: &str) -> Result<(), XmlError> {
        let bindings = &self.bindings;
        let (names, text) = self.tree.attribute_names();
        for (ns, span) in names {
            let (prefix, _) = split(&text[span.0 as usize..span.1 as usize]);
            // An attribute without prefix is in no namespace, whatever the default one is.
            if !prefix.is_empty() {
                *ns = resolve(bindings, text, prefix).unwrap_or(Ns::Other(u32::MAX));
                // Both fit: they are within the text.
                span.0 += prefix.len() as u32 + 1;
            }
        }
        let (prefix, local) = split(name);
        let ns = resolve(bindings, text, prefix)
            .ok_or_else(|| XmlError::NotXml(format!("the prefix of {} is not declared", shorten(name))))?;
        let local = self.tree.keep(local);
        self.tree.open((ns, local));
        Ok(())
    }

    #[inline]
    fn characters(&mut self, text: &str) -> Result<(), XmlError> {
        // Text beside elements has no meaning in any message, only white space stands there.
        match self.tree.innermost().is_some_and(Element::has_children) {
            false => Ok(self.tree.characters(text, self.limits)?),
            true if xml::is_white(text) => Ok(()),
            true => Err(XmlError::NotXml("text between elements".into())),
        }
    }

    #[inline]
    fn close(&mut self) {
        self.tree.close();
        while self.bindings.last().is_some_and(|b| b.depth >= self.tree.depth()) {
            self.bindings.pop();
        }
    }

    fn innermost(&self) -> &str {
        self.tree.innermost().map_or("", Element::name)
    }
}

impl Reading<'_> {
    /// Both the URIs and the bindings are searched from end to end, strangers' too: so there must not be many.
    fn bind(&mut self, prefix: &str, uri: &str) -> Result<(), XmlError> {
        let uri = uri.trim();
        let most = self.limits.namespaces;
        if uri.len() > MAX_URI {
            return Err(XmlError::TooLarge(format!("a namespace of more than {MAX_URI} bytes")));
        }
        if self.bindings.len() >= most {
            return Err(XmlError::TooLarge(format!("more than {most} prefixes are declared at once")));
        }
        let ns = match Ns::known(uri) {
            Some(known) => known,
            None => {
                let uris = self.tree.beside();
                let at = match uris.iter().rposition(|u| u == uri) {
                    Some(at) => at,
                    None if uris.len() >= most => {
                        return Err(XmlError::TooLarge(format!("more than {most} namespaces")));
                    }
                    None => {
                        uris.push(uri.to_owned());
                        uris.len() - 1
                    }
                };
                Ns::Other(u32::try_from(at).unwrap_or(u32::MAX))
            }
        };
        let prefix = self.tree.keep(prefix);
        self.bindings.push(Binding { prefix, ns, depth: self.tree.depth() });
        Ok(())
    }
}

/// The namespace of a prefix; `text` is what the bindings point into.
fn resolve(bindings: &[Binding], text: &str, prefix: &str) -> Option<Ns> {
    let is = |b: &&Binding| &text[b.prefix.0 as usize..b.prefix.1 as usize] == prefix;
    match bindings.iter().rev().find(is) {
        Some(binding) => Some(binding.ns),
        None if prefix.is_empty() => Some(Ns::None),
        None if prefix == "xml" => Some(Ns::Xml),
        None => None,
    }
}

fn split(name: &str) -> (&str, &str) {
    name.split_once(':').unwrap_or(("", name))
}

impl<'d> Element<'d> {
    pub(super) fn ns(self) -> Ns {
        self.kept_name().0
    }

    /// The URI of its namespace.
    pub(super) fn uri(self) -> &'d str {
        match self.ns() {
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
        match self.ns() {
            Ns::Other(at) => self.tree().beside.get(at as usize).map_or("", String::as_str),
            _ => "",
        }
    }

    pub(super) fn name(self) -> &'d str {
        self.kept(self.kept_name().1)
    }

    pub(super) fn is(self, ns: Ns, name: &str) -> bool {
        self.ns() == ns && self.name() == name
    }

    /// The text of an element without children, with nothing trimmed; of others, nothing.
    pub(super) fn text(self) -> &'d str {
        if self.has_children() { "" } else { self.own_text() }
    }

    /// The text without white space around it.
    pub(super) fn trimmed(self) -> &'d str {
        self.text().trim()
    }

    pub(super) fn attr(self, ns: Ns, name: &str) -> Option<&'d str> {
        self.attribute(|(its, span)| *its == ns && self.kept(*span) == name)
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

    fn too_large(text: &str) -> String {
        match read(text) {
            Err(XmlError::TooLarge(what)) => what,
            other => panic!("{:?}: {text}", other.err()),
        }
    }

    /// Searching is linear, so every number that it is linear in is bounded.
    #[test]
    fn namespaces_and_prefixes_are_bounded() {
        let declared = |count: usize| -> String {
            (0..count).map(|n| format!("<a xmlns='urn:{n}'/>")).collect::<Vec<_>>().concat()
        };
        let most = Limits::default().namespaces;
        assert!(read(&format!("<a>{}</a>", declared(most))).is_ok());
        assert!(too_large(&format!("<a>{}</a>", declared(most + 1))).contains("namespaces"));
        // The same ones may be declared as often as there are elements.
        assert!(read(&format!("<a>{}</a>", declared(2).repeat(2000))).is_ok());
        let nested = |depth: usize, each: usize| -> String {
            let element: String = (0..each).map(|n| format!(" xmlns:p{n}='urn:a'")).collect();
            format!("{}{}", format!("<a{element}>").repeat(depth), "</a>".repeat(depth))
        };
        assert!(read(&nested(4, most / 4)).is_ok());
        assert!(too_large(&nested(5, most / 4)).contains("prefixes"));
        assert!(too_large(&format!("<a xmlns='{}'/>", "u".repeat(MAX_URI + 1))).contains("bytes"));
        let attributes: String = (0..100).map(|n| format!(" a{n}=''")).collect();
        assert!(too_large(&format!("<a{attributes}/>")).contains("attributes"));
    }

    #[test]
    fn a_prefix_may_be_used_before_its_declaration() {
        let document = read("<e:a p:b='1' xml:lang='en' xmlns:p='urn:p' xmlns:e='urn:e' c='2'/>").unwrap();
        let root = document.root();
        assert_eq!((root.name(), root.other_uri()), ("a", "urn:e"));
        assert_eq!(root.attr(Ns::Other(0), "b"), Some("1"));
        assert_eq!((root.attr(Ns::Xml, "lang"), root.attr(Ns::None, "c")), (Some("en"), Some("2")));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(<[/?!]?[a-c:]{0,4}( xmlns(:[ab])?='[ab]')?/?>|[ab&;<>\"']){0,40}") {
            let _ = read(&text);
        }
    }
}
