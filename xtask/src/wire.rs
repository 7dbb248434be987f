//! The least of CIM-XML that a chore needs: one request, one answer, as they are.
//!
//! Deliberately not the project's own client: what is shown and compared here must not pass through the code that is tested.

use crate::failure::{Failure, Result};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where to ask, and as whom.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    /// `HOST:PORT`.
    pub(crate) address: String,
    /// The user.
    pub(crate) user: String,
    /// Its password.
    pub(crate) password: String,
}

/// An instance path: the class and its string keys.
#[derive(Clone, Debug)]
pub(crate) struct Path {
    /// The namespace, such as `root/virtualization`.
    pub(crate) namespace: &'static str,
    /// The class.
    pub(crate) class: String,
    /// The keys with their values.
    pub(crate) keys: Vec<(String, String)>,
}

impl Path {
    /// The path of the job with this InstanceID.
    pub(crate) fn job(namespace: &'static str, class: &str, id: &str) -> Self {
        Self { namespace, class: class.to_owned(), keys: vec![("InstanceID".to_owned(), id.to_owned())] }
    }

    /// The path as text (DSP0004), for the CIMObject header.
    fn to_text(&self) -> String {
        let keys: Vec<String> = self
            .keys
            .iter()
            .map(|(name, value)| format!("{name}=\"{}\"", value.replace('\\', r"\\").replace('"', r#"\""#)))
            .collect();
        format!("{}:{}.{}", self.namespace, self.class, keys.join(","))
    }

    fn to_xml(&self) -> String {
        let keys: String = self
            .keys
            .iter()
            .map(|(name, value)| {
                format!(
                    r#"<KEYBINDING NAME="{name}"><KEYVALUE VALUETYPE="string">{}</KEYVALUE></KEYBINDING>"#,
                    escape(value)
                )
            })
            .collect();
        format!(r#"<INSTANCENAME CLASSNAME="{}">{keys}</INSTANCENAME>"#, self.class)
    }
}

impl Client {
    /// Calls a method and gives the body of the answer as it came. `parameters` are name, CIM type and value.
    pub(crate) fn invoke(
        &self,
        on: &Path,
        method: &str,
        parameters: &[(&str, &str, &str)],
    ) -> Result<String> {
        let parameters: String = parameters
            .iter()
            .map(|(name, kind, value)| {
                format!(
                    r#"<PARAMVALUE NAME="{name}" PARAMTYPE="{kind}"><VALUE>{}</VALUE></PARAMVALUE>"#,
                    escape(value)
                )
            })
            .collect();
        let names: String =
            on.namespace.split('/').map(|part| format!(r#"<NAMESPACE NAME="{part}"/>"#)).collect();
        let call = format!(
            r#"<METHODCALL NAME="{method}"><LOCALINSTANCEPATH><LOCALNAMESPACEPATH>{names}</LOCALNAMESPACEPATH>{}</LOCALINSTANCEPATH>{parameters}</METHODCALL>"#,
            on.to_xml()
        );
        self.post(method, &on.to_text(), &call)
    }

    /// The instance as XML.
    pub(crate) fn instance(&self, path: &Path) -> Result<String> {
        let parameter = format!(r#"<IPARAMVALUE NAME="InstanceName">{}</IPARAMVALUE>"#, path.to_xml());
        self.intrinsic("GetInstance", path.namespace, &parameter)
    }

    /// The instances of a class as XML.
    pub(crate) fn instances(&self, namespace: &str, class: &str) -> Result<String> {
        let parameter = format!(r#"<IPARAMVALUE NAME="ClassName"><CLASSNAME NAME="{class}"/></IPARAMVALUE>"#);
        self.intrinsic("EnumerateInstances", namespace, &parameter)
    }

    fn intrinsic(&self, name: &str, namespace: &str, parameters: &str) -> Result<String> {
        let names: String =
            namespace.split('/').map(|part| format!(r#"<NAMESPACE NAME="{part}"/>"#)).collect();
        let call = format!(
            r#"<IMETHODCALL NAME="{name}"><LOCALNAMESPACEPATH>{names}</LOCALNAMESPACEPATH>{parameters}</IMETHODCALL>"#
        );
        self.post(name, namespace, &call)
    }

    fn post(&self, method: &str, object: &str, call: &str) -> Result<String> {
        let body = format!(
            r#"<?xml version="1.0" encoding="utf-8"?><CIM CIMVERSION="2.0" DTDVERSION="2.0"><MESSAGE ID="1" PROTOCOLVERSION="1.0"><SIMPLEREQ>{call}</SIMPLEREQ></MESSAGE></CIM>"#
        );
        let credentials = base64(format!("{}:{}", self.user, self.password).as_bytes());
        let head = format!(
            "POST /cimom HTTP/1.1\r\nHost: {}\r\nAuthorization: Basic {credentials}\r\nContent-Type: application/xml; charset=\"utf-8\"\r\nContent-Length: {}\r\nCIMOperation: MethodCall\r\nCIMMethod: {method}\r\nCIMObject: {object}\r\nConnection: close\r\n\r\n",
            self.address,
            body.len()
        );
        let answer = self
            .exchange(&(head + &body))
            .map_err(|e| Failure::Server(format!("{method} got no answer from {}: {e}", self.address)))?;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer.as_str(), ""));
        let status = head.lines().next().unwrap_or_default();
        if !status.contains(" 200") {
            return Err(Failure::Server(format!("{method} was answered {status:?}:\n{body}")));
        }
        match between(body, "<ERROR ", ">") {
            Some(error) => Err(Failure::Server(format!("{method} was refused: {}", unescape(error)))),
            None => Ok(body.to_owned()),
        }
    }

    fn exchange(&self, request: &str) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(&self.address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(request.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }
}

/// The value of a property with one value in an instance.
pub(crate) fn property(instance: &str, name: &str) -> Option<String> {
    let property = between(instance, &format!("<PROPERTY NAME=\"{name}\""), "</PROPERTY>")?;
    between(property, "<VALUE>", "</VALUE>").map(unescape)
}

/// The XML with one element a line, indented by depth; text stays as it is, on the line of its element.
pub(crate) fn pretty(xml: &str) -> String {
    let mut out = String::new();
    let mut depth = 0_usize;
    let mut rest = xml.trim();
    let mut text_before = false;
    while let Some(open) = rest.find('<') {
        let text = rest[..open].trim();
        out.push_str(text);
        let Some(close) = rest[open..].find('>').map(|at| open + at + 1) else { break };
        let tag = &rest[open..close];
        rest = &rest[close..];
        let closing = tag.starts_with("</");
        if closing {
            depth = depth.saturating_sub(1);
        }
        let directly_after_own_text = closing && (text_before || !text.is_empty());
        if !directly_after_own_text && !out.is_empty() {
            out.push('\n');
            out.push_str(&"  ".repeat(depth));
        }
        out.push_str(tag);
        // A value and its end belong on one line, even when the value is empty.
        text_before = tag.starts_with("<VALUE>") || tag.starts_with("<KEYVALUE");
        if !closing && !tag.ends_with("/>") && !tag.starts_with("<?") {
            depth += 1;
        }
    }
    out.push_str(rest);
    out
}

/// Text for XML content or an attribute.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// The text that [`escape`] was given, for the references that servers use.
pub(crate) fn unescape(text: &str) -> String {
    let mut text =
        text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&apos;", "'");
    for (reference, character) in [("&#10;", "\n"), ("&#13;", "\r"), ("&#9;", "\t")] {
        text = text.replace(reference, character);
    }
    text.replace("&amp;", "&")
}

/// What stands between the first `open` and the next `close`.
pub(crate) fn between<'a>(text: &'a str, open: &str, close: &str) -> Option<&'a str> {
    let rest = &text[text.find(open)? + open.len()..];
    Some(&rest[..rest.find(close)?])
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits =
            group.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for place in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * place) & 63) as usize];
            out.push(if place <= group.len() { char::from(digit) } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_property_is_read() {
        let instance = r#"<INSTANCE CLASSNAME="C"><PROPERTY NAME="A" TYPE="string"></PROPERTY><PROPERTY NAME="B" TYPE="string"><VALUE>x &amp;lt;</VALUE></PROPERTY></INSTANCE>"#;
        assert_eq!(property(instance, "A"), None);
        assert_eq!(property(instance, "B"), Some("x &lt;".to_owned()));
    }

    #[test]
    fn pretty_printing_keeps_values_on_their_line() {
        assert_eq!(
            pretty("<A><B><VALUE>x</VALUE></B><C/></A>"),
            "<A>\n  <B>\n    <VALUE>x</VALUE>\n  </B>\n  <C/>\n</A>"
        );
        assert_eq!(pretty("<P><VALUE></VALUE></P>"), "<P>\n  <VALUE></VALUE>\n</P>");
    }

    #[test]
    fn base64_is_that_of_rfc_4648() {
        let known = [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")];
        for (plain, encoded) in known {
            assert_eq!(base64(plain.as_bytes()), encoded);
        }
    }

    #[test]
    fn text_survives_escaping() {
        let text = "<a href=\"x\">&amp;</a>";
        assert_eq!(unescape(&escape(text)), text);
    }
}
