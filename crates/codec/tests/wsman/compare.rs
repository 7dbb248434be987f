//! Compares messages as XML: prefixes, the order of attributes and of selectors, white space between elements and the identifier
//! of an answer do not matter; namespaces do, also those of names in texts.

use quick_xml::events::{BytesStart, Event};
use quick_xml::name::{PrefixDeclaration, ResolveResult};
use quick_xml::reader::NsReader;

struct Element {
    name: String,
    attributes: Vec<(String, String)>,
    text: String,
    children: Vec<Element>,
}

/// The message as lines that are the same for the same message.
pub(crate) fn canonical(text: &str) -> String {
    let mut reader = NsReader::from_str(text);
    let mut open: Vec<Element> = Vec::new();
    let mut root = None;
    loop {
        match reader.read_event().expect("well-formed") {
            Event::Start(start) => open.push(element(&reader, &start)),
            Event::Empty(start) => {
                let element = element(&reader, &start);
                close(&mut open, &mut root, element, &reader);
            }
            Event::End(_) => {
                let element = open.pop().expect("an open element");
                close(&mut open, &mut root, element, &reader);
            }
            Event::Text(text) => append(&mut open, &text.xml10_content()),
            Event::CData(text) => append(&mut open, &text.xml10_content()),
            Event::GeneralRef(reference) => {
                let text = match reference.resolve_char_ref().expect("a reference") {
                    Some(c) => c.to_string(),
                    None => match &*reference {
                        "lt" => "<",
                        "gt" => ">",
                        "amp" => "&",
                        "quot" => "\"",
                        _ => "'",
                    }
                    .to_owned(),
                };
                append(&mut open, &text);
            }
            Event::Eof => break,
            _ => {}
        }
    }
    let mut out = String::new();
    print(&root.expect("an element"), 0, &mut out);
    out
}

fn element(reader: &NsReader<&[u8]>, start: &BytesStart<'_>) -> Element {
    let (ns, local) = reader.resolver().resolve_element(start.name());
    let name = format!("{{{}}}{}", uri(&ns), local.as_ref());
    let mut attributes = Vec::new();
    for attribute in start.attributes() {
        let attribute = attribute.expect("an attribute");
        if attribute.key.as_namespace_binding().is_some() {
            continue;
        }
        let (ns, local) = reader.resolver().resolve_attribute(attribute.key);
        let mut value = attribute.value.to_string();
        if matches!(local.as_ref(), "type" | "qname") {
            value = qualified(reader, &value);
        }
        attributes.push((format!("{{{}}}{}", uri(&ns), local.as_ref()), value));
    }
    attributes.sort();
    Element { name, attributes, text: String::new(), children: Vec::new() }
}

/// A name in a text with its namespace in place of its prefix.
fn qualified(reader: &NsReader<&[u8]>, text: &str) -> String {
    let Some((prefix, local)) = text.split_once(':') else { return text.to_owned() };
    let bound =
        reader.resolver().bindings().find(|(p, _)| matches!(p, PrefixDeclaration::Named(n) if *n == prefix));
    bound.map_or_else(|| text.to_owned(), |(_, ns)| format!("{{{}}}{local}", ns.as_ref()))
}

fn uri(ns: &ResolveResult<'_>) -> String {
    match ns {
        ResolveResult::Bound(ns) => ns.as_ref().to_owned(),
        _ => String::new(),
    }
}

fn close(open: &mut [Element], root: &mut Option<Element>, mut element: Element, reader: &NsReader<&[u8]>) {
    if element.name.ends_with("}Value") {
        element.text = qualified(reader, element.text.trim());
    }
    if element.name.ends_with("}SelectorSet") {
        element.children.sort_by(|a, b| a.attributes.cmp(&b.attributes));
    }
    // The identifier of an answer is its own, and what people read may be said in other words.
    if element.name.ends_with("}Text") || element.name.ends_with("}Reason") {
        element.text.clear();
    }
    if element.name.ends_with("}MessageID") {
        element.text.clear();
    }
    match open.last_mut() {
        Some(parent) => parent.children.push(element),
        None => *root = Some(element),
    }
}

fn append(open: &mut [Element], text: &str) {
    if let Some(element) = open.last_mut() {
        element.text.push_str(text);
    }
}

fn print(element: &Element, depth: usize, out: &mut String) {
    let text = if element.children.is_empty() { element.text.as_str() } else { "" };
    let attributes: Vec<String> = element.attributes.iter().map(|(n, v)| format!(" {n}={v:?}")).collect();
    out.push_str(&format!("{}{}{} {text:?}\n", " ".repeat(depth), element.name, attributes.concat()));
    for child in &element.children {
        print(child, depth + 1, out);
    }
}
