//! Changes to an input.

use crate::rng::Rng;

/// The largest input that is made, in bytes.
pub(crate) const LARGEST: usize = 64 << 10;

/// Bytes that mean something to one reader or another.
const SIGNS: &[u8] = b"\"'\\<>&;:=,.{}()[]#$%/*@!?+-_ \t\r\n\0\x7f\x80\xff09aZ";

/// Numbers at the borders of what fits.
const NUMBERS: [&str; 16] = [
    "0",
    "-0",
    "-1",
    "255",
    "256",
    "65535",
    "65536",
    "4294967296",
    "9223372036854775807",
    "-9223372036854775809",
    "18446744073709551615",
    "18446744073709551616",
    "1e309",
    "NaN",
    "0x",
    "1111111111111111111111111111111111111111b",
];

/// An input made from one seed or several, by a few changes. `words` are those of the language.
pub(crate) fn mutated(rng: &mut Rng, corpus: &[Vec<u8>], words: &[&str]) -> Vec<u8> {
    let mut data = rng.pick(corpus).cloned().unwrap_or_default();
    for _ in 0..=rng.below(6) {
        change(rng, &mut data, corpus, words);
        data.truncate(LARGEST);
    }
    data
}

fn change(rng: &mut Rng, data: &mut Vec<u8>, corpus: &[Vec<u8>], words: &[&str]) {
    let at = rng.below(data.len() + 1);
    let reach = 1 << rng.below(8);
    let end = (at + rng.below(reach)).min(data.len());
    match rng.below(13) {
        0 => {
            if let Some(byte) = data.get_mut(at) {
                *byte ^= 1 << rng.below(8);
            }
        }
        1 => {
            let byte = *rng.pick(SIGNS).unwrap_or(&b' ');
            data.insert(at, byte);
        }
        2 => {
            data.drain(at..end);
        }
        3 => {
            let piece = data[at..end].to_vec();
            let to = rng.below(data.len() + 1);
            data.splice(to..to, piece);
        }
        4 => data.truncate(at),
        5 | 6 => {
            let word = *rng.pick(words).unwrap_or(&"");
            data.splice(at..at, word.bytes());
        }
        7 => {
            let word = *rng.pick(words).unwrap_or(&"");
            data.splice(at..end, word.bytes());
        }
        8 => {
            let number = *rng.pick(&NUMBERS).unwrap_or(&"0");
            let digits = data[at..].iter().take_while(|b| b.is_ascii_digit()).count();
            data.splice(at..at + digits, number.bytes());
        }
        9 => {
            // What stands once may stand a thousand times: lists, nesting, long names.
            let piece = data[at..end].to_vec();
            let times = 1 << rng.below(13);
            let room = (LARGEST.saturating_sub(data.len()) / piece.len().max(1)).min(times);
            data.splice(at..at, piece.repeat(room));
        }
        10 => {
            let other = rng.pick(corpus).cloned().unwrap_or_default();
            let from = rng.below(other.len() + 1);
            let reach = 1 << rng.below(11);
            let to = (from + rng.below(reach)).min(other.len());
            data.splice(at..end, other[from..to].iter().copied());
        }
        11 => {
            let other = rng.pick(corpus).cloned().unwrap_or_default();
            data.truncate(at);
            data.extend(&other[rng.below(other.len() + 1)..]);
        }
        _ => {
            // Any character, also those that take several bytes.
            let c = char::from_u32(rng.below(0x11_0000) as u32).unwrap_or('\u{fffd}');
            let mut buffer = [0; 4];
            data.splice(at..at, c.encode_utf8(&mut buffer).bytes());
        }
    }
}
