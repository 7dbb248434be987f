//! Comparing XML by meaning, for tests.

use quick_xml::XmlVersion;
use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;

/// One element or text per line, attributes sorted, insignificant white space gone, CDATA and entities resolved. Text that is
/// itself an embedded object is brought into the same form.
pub(crate) fn canonical(xml: &str) -> String {
    let mut reader = Reader::from_str(xml);
    let mut out = String::new();
    let mut text = String::new();
    let mut open: Vec<String> = Vec::new();
    loop {
        match reader.read_event().expect("well-formed XML") {
            Event::Eof => break,
            Event::Start(start) => {
                text.clear();
                element(&mut out, open.len(), &start);
                open.push(start.name().as_ref().to_owned());
            }
            Event::Empty(start) => element(&mut out, open.len(), &start),
            Event::End(_) => {
                let name = open.pop().expect("an open element");
                if matches!(name.as_str(), "VALUE" | "KEYVALUE" | "HOST") && !text.is_empty() {
                    let shown = if text.starts_with("<INSTANCE") || text.starts_with("<CLASS") {
                        format!("embedded:\n{}", canonical(&text))
                    } else {
                        format!("{text:?}\n")
                    };
                    out.push_str(&"  ".repeat(open.len() + 1));
                    out.push_str(&shown);
                }
                text.clear();
            }
            Event::Text(part) => text.push_str(&part.xml10_content()),
            Event::CData(part) => text.push_str(&part.xml10_content()),
            Event::GeneralRef(part) => match part.resolve_char_ref().expect("a character") {
                Some(c) => text.push(c),
                None => text.push_str(match &*part {
                    "lt" => "<",
                    "gt" => ">",
                    "amp" => "&",
                    "quot" => "\"",
                    "apos" => "'",
                    other => panic!("&{other};"),
                }),
            },
            _ => {}
        }
    }
    out
}

fn element(out: &mut String, depth: usize, start: &BytesStart<'_>) {
    let mut attributes: Vec<String> = start
        .attributes()
        .map(|a| {
            let a = a.expect("an attribute");
            format!(" {}={:?}", a.key.as_ref(), a.normalized_value(XmlVersion::Explicit1_0).expect("a value"))
        })
        .collect();
    attributes.sort();
    out.push_str(&"  ".repeat(depth));
    out.push_str(start.name().as_ref());
    out.push_str(&attributes.concat());
    out.push('\n');
}
