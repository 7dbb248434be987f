//! Bodies that are sealed as a whole (MS-WSMV 2.2.9.1): a MIME type of two parts, of which the second is no text. Parts may follow one
//! another, each sealed for itself.

/// The length of the number that tells the signature's length, in bytes.
const PREFIX: usize = 4;
/// More parts than a request of the largest size has.
const MAX_PARTS: usize = 4096;
const BOUNDARY: &str = "Encrypted Boundary";

/// One sealed part.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Part<'a> {
    /// Its signature.
    pub(crate) signature: &'a [u8],
    /// What is sealed.
    pub(crate) sealed: &'a [u8],
    /// How long it is when it is opened, in bytes.
    pub(crate) length: usize,
}

/// What is wrong with a sealed body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// The protocol that a Content-Type names, if it is that of a sealed body.
pub(crate) fn protocol(content_type: &str) -> Option<&str> {
    let (kind, parameters) = content_type.split_once(';')?;
    let kind = kind.trim();
    if !kind.eq_ignore_ascii_case("multipart/encrypted")
        && !kind.eq_ignore_ascii_case("multipart/x-multi-encrypted")
    {
        return None;
    }
    parameters.split(';').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("protocol").then(|| value.trim().trim_matches('"'))
    })
}

/// Takes a sealed body apart.
///
/// # Errors
/// When it is not what its type says.
pub(crate) fn parts(body: &[u8]) -> Result<Vec<Part<'_>>, Malformed> {
    let mut parts = Vec::new();
    let mut rest = boundary(body).ok_or(Malformed)?;
    loop {
        if rest.starts_with(b"--") {
            return if parts.is_empty() { Err(Malformed) } else { Ok(parts) };
        }
        if parts.len() == MAX_PARTS {
            return Err(Malformed);
        }
        let (head, behind) = lines_until_boundary(rest)?;
        let length = clear_length(head)?;
        // Its only header says that bytes follow, and they follow at once, without an empty line.
        let data = skip_line(behind).ok_or(Malformed)?;
        let signature_length = data
            .get(..PREFIX)
            .and_then(|bytes| bytes.try_into().ok())
            .map(u32::from_le_bytes)
            .and_then(|length| usize::try_from(length).ok())
            .ok_or(Malformed)?;
        let data = &data[PREFIX..];
        if signature_length > data.len() || length > data.len() - signature_length {
            return Err(Malformed);
        }
        let (signature, data) = data.split_at(signature_length);
        // Kerberos adds some bytes, so where the data ends is where the next boundary is: but not before the length that was told.
        let ends = (length..data.len()).find(|at| boundary(&data[*at..]).is_some()).ok_or(Malformed)?;
        let (sealed, behind) = data.split_at(ends);
        parts.push(Part { signature, sealed, length });
        rest = boundary(behind).ok_or(Malformed)?;
    }
}

/// The Content-Type of a sealed answer.
pub(crate) fn content_type(protocol: &str) -> String {
    format!("multipart/encrypted;protocol=\"{protocol}\";boundary=\"{BOUNDARY}\"")
}

/// Puts a sealed body together.
pub(crate) fn body(
    protocol: &str,
    original: &str,
    length: usize,
    signature: &[u8],
    sealed: &[u8],
) -> Vec<u8> {
    let mut body = format!(
        "--{BOUNDARY}\r\n\tContent-Type: {protocol}\r\n\tOriginalContent: type={original};Length={length}\r\n\
         --{BOUNDARY}\r\n\tContent-Type: application/octet-stream\r\n"
    )
    .into_bytes();
    body.extend((signature.len() as u32).to_le_bytes());
    body.extend(signature);
    body.extend(sealed);
    body.extend(format!("--{BOUNDARY}--\r\n").into_bytes());
    body
}

/// What follows a boundary at the beginning, with its line. Some senders put a space behind the dashes.
fn boundary(text: &[u8]) -> Option<&[u8]> {
    let rest = text.strip_prefix(b"--")?;
    let rest = rest.strip_prefix(b" ").unwrap_or(rest);
    let rest = rest.strip_prefix(BOUNDARY.as_bytes())?;
    if rest.starts_with(b"--") {
        return Some(rest);
    }
    rest.strip_prefix(b"\r\n").or_else(|| rest.strip_prefix(b"\n"))
}

/// The lines up to the next boundary, and what follows it.
fn lines_until_boundary(text: &[u8]) -> Result<(&[u8], &[u8]), Malformed> {
    let mut rest = text;
    loop {
        if let Some(behind) = boundary(rest) {
            return Ok((&text[..text.len() - rest.len()], behind));
        }
        rest = skip_line(rest).ok_or(Malformed)?;
    }
}

fn skip_line(text: &[u8]) -> Option<&[u8]> {
    Some(&text[find(text, b"\n")? + 1..])
}

fn clear_length(head: &[u8]) -> Result<usize, Malformed> {
    let head = std::str::from_utf8(head).map_err(|_| Malformed)?;
    let line = head
        .lines()
        .map(str::trim)
        .find(|line| line.get(..15).is_some_and(|name| name.eq_ignore_ascii_case("OriginalContent")))
        .ok_or(Malformed)?;
    line.split(';')
        .filter_map(|parameter| parameter.split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("length"))
        .and_then(|(_, length)| length.trim().parse().ok())
        .ok_or(Malformed)
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROTOCOL: &str = "application/HTTP-SPNEGO-session-encrypted";

    fn sample(sealed: &[u8]) -> Vec<u8> {
        body(PROTOCOL, "application/soap+xml;charset=UTF-8", sealed.len(), &[9; 16], sealed)
    }

    #[test]
    fn what_is_put_together_is_taken_apart() {
        // Bytes that look like the next boundary and like the end of a line.
        let sealed = b"\r\n--Encrypted Boundary--\r\n\0\xff";
        let body = sample(sealed);
        assert_eq!(parts(&body).unwrap(), [Part { signature: &[9; 16], sealed, length: sealed.len() }]);
        assert_eq!(protocol(&content_type(PROTOCOL)), Some(PROTOCOL));
        assert_eq!(protocol("application/soap+xml;charset=UTF-8"), None);
    }

    #[test]
    fn several_parts_and_a_space_behind_the_dashes() {
        let one = sample(b"one");
        let two = sample(b"two");
        let end = one.len() - b"--Encrypted Boundary--\r\n".len();
        let both = [&one[..end], &two].concat();
        assert_eq!(parts(&both).unwrap().len(), 2);
        let spaced = String::from_utf8_lossy(&sample(b"abc")).replace("--Encrypted", "-- Encrypted");
        assert_eq!(parts(spaced.as_bytes()).unwrap()[0].sealed, b"abc");
    }

    #[test]
    fn lies_about_lengths_are_refused() {
        let body = sample(b"sealed");
        for length in 0..body.len() {
            // The end of the last line may be missing; anything else may not.
            assert_eq!(parts(&body[..length]).is_ok(), length >= body.len() - 2, "{length}");
        }
        let long = String::from_utf8_lossy(&body).replace("Length=6", "Length=600");
        assert_eq!(parts(long.as_bytes()), Err(Malformed));
        let mut signature = body.clone();
        let at = find(&body, b"stream\r\n").unwrap() + 8;
        signature[at + 3] = 0xff;
        assert_eq!(parts(&signature), Err(Malformed));
    }
}
