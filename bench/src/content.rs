//! Image files with content that has to survive.

use crate::failure::{Failure, Result};
use crate::rng::Rng;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// The unit in which content changes its kind.
const CHUNK: usize = 64 << 10;

/// What a raw image is filled with; the shares are of a hundred and the rest is random bytes.
#[derive(Clone, Copy, Debug)]
pub struct Mix {
    /// Holes in the file.
    pub holes: u64,
    /// The same line of text again and again.
    pub text: u64,
}

/// Mostly random bytes.
pub const DENSE: Mix = Mix { holes: 15, text: 10 };

/// What the disk of an ordinary machine looks like: a third each.
pub const ORDINARY: Mix = Mix { holes: 34, text: 33 };

/// Writes a raw image of `size` bytes. The same seed gives the same content.
///
/// # Errors
/// When the file cannot be written.
pub fn write_raw(path: &Path, size: u64, mix: Mix, seed: u64) -> Result<()> {
    let file = File::create(path).map_err(Failure::io("create", path))?;
    file.set_len(size).map_err(Failure::io("size", path))?;
    let mut rng = Rng::new(seed);
    let line: Vec<u8> = b"A line of text, as there are many of in the files of any machine.\n"
        .iter()
        .copied()
        .cycle()
        .take(CHUNK)
        .collect();
    let mut noise = vec![0; CHUNK];
    let mut at = 0;
    while at < size {
        // Runs, because real files are longer than a chunk.
        let run = rng.between(1, 32);
        let kind = rng.between(0, 99);
        for _ in 0..run {
            if at >= size {
                break;
            }
            let length = CHUNK.min(usize::try_from(size - at).unwrap_or(CHUNK));
            if kind >= mix.holes + mix.text {
                rng.fill(&mut noise[..length]);
                file.write_all_at(&noise[..length], at).map_err(Failure::io("write", path))?;
            } else if kind >= mix.holes {
                file.write_all_at(&line[..length], at).map_err(Failure::io("write", path))?;
            }
            at += length as u64;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_is_exact_and_the_content_depends_on_the_seed() {
        let directory = tempfile::tempdir().expect("scratch");
        let read = |name: &str, seed| {
            let path = directory.path().join(name);
            write_raw(&path, 1_000_001, DENSE, seed).expect("write");
            std::fs::read(path).expect("read")
        };
        let first = read("a", 1);
        assert_eq!(first.len(), 1_000_001);
        assert_eq!(first, read("b", 1));
        assert_ne!(first, read("c", 2));
    }
}
