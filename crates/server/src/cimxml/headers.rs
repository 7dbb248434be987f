//! The headers of a CIM operation request: what HTTP asks for, and the extension framework that renames those of CIM.

use crate::body::ResponseBody;
use crate::http::{text, wrong_method};
use cimwright_codec::cimxml::Headers;
use hyper::header::{
    CONTENT_ENCODING, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, TE, TRANSFER_ENCODING,
};
use hyper::http::request::Parts;
use hyper::{Method, Response, StatusCode, Version};

/// The extension that an M-POST request declares with `Man` (DSP0200 6.2, RFC 2774).
const EXTENSION_URI: &str = "http://www.dmtf.org/cim/mapping/http/v1.0";
const METHODS: &str = "POST, M-POST, OPTIONS";

const CIM_OPERATION: HeaderName = HeaderName::from_static("cimoperation");
const CIM_METHOD: HeaderName = HeaderName::from_static("cimmethod");
const CIM_OBJECT: HeaderName = HeaderName::from_static("cimobject");
const CIM_PROTOCOL_VERSION: HeaderName = HeaderName::from_static("cimprotocolversion");
const CIM_BATCH: HeaderName = HeaderName::from_static("cimbatch");

/// The two digits before each CIM header of an M-POST request and of its response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extension([u8; 2]);

impl Extension {
    /// The name of a header with the digits before it.
    pub(super) fn name(self, name: &HeaderName) -> HeaderName {
        let Self([tens, ones]) = self;
        HeaderName::try_from(format!("{}{}-{name}", char::from(tens), char::from(ones)))
            .unwrap_or_else(|_| name.clone())
    }

    /// The value of `Man` that declares it.
    pub(super) fn declaration(self) -> HeaderValue {
        let Self([tens, ones]) = self;
        HeaderValue::try_from(format!("{EXTENSION_URI} ; ns={}{}", char::from(tens), char::from(ones)))
            .unwrap_or(HeaderValue::from_static(EXTENSION_URI))
    }
}

/// Refuses other methods than POST, M-POST and OPTIONS.
pub(super) fn check_method(parts: &Parts) -> Result<(), Box<Response<ResponseBody>>> {
    if parts.method == Method::POST || parts.method == Method::OPTIONS {
        return Ok(());
    }
    if parts.method.as_str() != "M-POST" {
        return Err(Box::new(wrong_method(&parts.method, METHODS)));
    }
    if parts.version < Version::HTTP_11 {
        return bad_request("M-POST is a method of HTTP/1.1.\n");
    }
    Ok(())
}

/// Checks what HTTP asks for, and finds the extension that an M-POST request declares.
pub(super) fn check(parts: &Parts) -> Result<Option<Extension>, Box<Response<ResponseBody>>> {
    let headers = &parts.headers;
    let hosts = headers.get_all(HOST).iter().count();
    if hosts > 1 || (hosts == 0 && parts.version == Version::HTTP_11) {
        return bad_request("A request of HTTP/1.1 has one header Host.\n");
    }
    if !headers.get(CONTENT_TYPE).is_some_and(|v| is_xml_in_utf8(v.as_bytes())) {
        return bad_request(
            "Content-Type has to be application/xml or text/xml, and the charset utf-8. (WS-Management is served at /wsman.)\n",
        );
    }
    if headers.get(CONTENT_ENCODING).is_some_and(|v| !v.as_bytes().eq_ignore_ascii_case(b"identity")) {
        let answer = "Content-Encoding is not understood here; send the body as it is.\n";
        return Err(Box::new(text(StatusCode::UNSUPPORTED_MEDIA_TYPE, answer)));
    }
    // With two framings, two readers may see two requests.
    if headers.contains_key(TRANSFER_ENCODING) && parts.version < Version::HTTP_11 {
        return bad_request("Transfer-Encoding is a header of HTTP/1.1.\n");
    }
    if parts.method == Method::POST {
        return Ok(None);
    }
    let declared = headers.get_all("man").iter().find_map(|v| extension(v.to_str().ok()?));
    match declared {
        Some(extension) => Ok(Some(extension)),
        None => Err(Box::new(text(
            StatusCode::NOT_EXTENDED,
            format!("M-POST needs the header `Man: {EXTENSION_URI} ; ns=NN`.\n"),
        ))),
    }
}

/// The headers of CIM, which an extension renames.
pub(super) fn cim_headers<'h>(headers: &'h HeaderMap, extension: Option<&Extension>) -> Headers<'h> {
    let get = |name: HeaderName| match extension {
        None => headers.get(name),
        Some(extension) => headers.get(extension.name(&name)),
    };
    Headers {
        cim_operation: get(CIM_OPERATION).map(HeaderValue::as_bytes),
        cim_method: get(CIM_METHOD).map(HeaderValue::as_bytes),
        cim_object: get(CIM_OBJECT).map(HeaderValue::as_bytes),
        cim_protocol_version: get(CIM_PROTOCOL_VERSION).map(HeaderValue::as_bytes),
        cim_batch: get(CIM_BATCH).is_some(),
    }
}

/// Whether the client reads trailers behind a chunked body.
pub(super) fn wants_trailers(headers: &HeaderMap) -> bool {
    let is_trailers = |item: &[u8]| item.trim_ascii().eq_ignore_ascii_case(b"trailers");
    headers.get_all(TE).iter().any(|v| v.as_bytes().split(|b| *b == b',').any(is_trailers))
}

fn is_xml_in_utf8(content_type: &[u8]) -> bool {
    let mut parts = content_type.split(|b| *b == b';').map(<[u8]>::trim_ascii);
    let media = parts.next().unwrap_or_default();
    if ![&b"application/xml"[..], b"text/xml"].iter().any(|m| media.eq_ignore_ascii_case(m)) {
        return false;
    }
    parts.all(|parameter| {
        let mut pair = parameter.splitn(2, |b| *b == b'=').map(<[u8]>::trim_ascii);
        let name = pair.next().unwrap_or_default();
        let value = pair.next().unwrap_or_default();
        let value = value.strip_prefix(b"\"").and_then(|v| v.strip_suffix(b"\"")).unwrap_or(value);
        !name.eq_ignore_ascii_case(b"charset") || value.eq_ignore_ascii_case(b"utf-8")
    })
}

/// The digits in a value of Man, if it declares the extension of DSP0200.
fn extension(man: &str) -> Option<Extension> {
    man.split(',').find_map(|declaration| {
        let mut parts = declaration.split(';').map(str::trim);
        let uri = parts.next()?.trim_matches('"');
        if uri != EXTENSION_URI {
            return None;
        }
        parts.find_map(|parameter| {
            let (name, value) = parameter.split_once('=')?;
            let digits: [u8; 2] = value.trim().trim_matches('"').as_bytes().try_into().ok()?;
            let is_ns = name.trim().eq_ignore_ascii_case("ns");
            (is_ns && digits.iter().all(u8::is_ascii_digit)).then_some(Extension(digits))
        })
    })
}

fn bad_request<T>(reason: &'static str) -> Result<T, Box<Response<ResponseBody>>> {
    Err(Box::new(text(StatusCode::BAD_REQUEST, reason)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_types_in_use_are_accepted() {
        for good in [
            "application/xml",
            "text/xml",
            "application/xml; charset=\"utf-8\"",
            "Application/XML;CHARSET=UTF-8",
            "text/xml ; charset = utf-8 ; action=x",
        ] {
            assert!(is_xml_in_utf8(good.as_bytes()), "{good}");
        }
        for bad in
            ["", "text/plain", "application/xmlx", "application/xml; charset=latin-1", "text/xml; charset="]
        {
            assert!(!is_xml_in_utf8(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn the_extension_is_found_in_every_spelling() {
        let uri = EXTENSION_URI;
        for good in [
            format!("{uri} ; ns=73"),
            format!("{uri};ns=73"),
            format!("\"{uri}\"; NS=\"73\""),
            format!("http://example.com/x; ns=10, {uri} ; ns=73"),
        ] {
            assert_eq!(extension(&good), Some(Extension(*b"73")), "{good}");
        }
        for bad in [uri.to_owned(), format!("{uri}; ns=7"), format!("{uri}; ns=7a"), format!("{uri}x; ns=73")]
        {
            assert_eq!(extension(&bad), None, "{bad}");
        }
        assert_eq!(Extension(*b"07").name(&CIM_OBJECT), "07-cimobject");
        assert_eq!(extension(Extension(*b"07").declaration().to_str().unwrap()), Some(Extension(*b"07")));
    }

    #[test]
    fn trailers_are_sent_to_who_reads_them() {
        let te = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(TE, value.parse().unwrap());
            }
            wants_trailers(&headers)
        };
        assert!(te(&["trailers"]) && te(&["deflate, Trailers"]) && te(&["chunked", "trailers"]));
        assert!(!te(&[]) && !te(&["chunked"]));
    }
}
