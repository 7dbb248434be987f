//! Bounded reads at known places, and numbers out of bytes.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::HeaderError;

/// Something that can be read at an offset: a file, or bytes in memory.
pub trait ReadAt {
    /// The length in bytes.
    ///
    /// # Errors
    /// When the system does not tell.
    fn length(&self) -> io::Result<u64>;

    /// Fills the buffer from an offset.
    ///
    /// # Errors
    /// `UnexpectedEof` when the end comes first; else what the system answered.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
}

impl ReadAt for File {
    fn length(&self) -> io::Result<u64> {
        self.metadata().map(|metadata| metadata.len())
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        FileExt::read_exact_at(self, buffer, offset)
    }
}

impl ReadAt for [u8] {
    fn length(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let start = usize::try_from(offset).map_err(|_| io::ErrorKind::UnexpectedEof)?;
        let end = start.checked_add(buffer.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(self.get(start..end).ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

impl<T: ReadAt + ?Sized> ReadAt for &T {
    fn length(&self) -> io::Result<u64> {
        (**self).length()
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        (**self).read_exact_at(buffer, offset)
    }
}

pub(super) fn length(file: &impl ReadAt, structure: &'static str) -> Result<u64, HeaderError> {
    file.length().map_err(|error| HeaderError::Read { structure, kind: error.kind() })
}

pub(super) fn read<const N: usize>(
    file: &impl ReadAt,
    length: u64,
    offset: u64,
    structure: &'static str,
) -> Result<[u8; N], HeaderError> {
    let mut buffer = [0; N];
    fill(file, length, offset, &mut buffer, structure)?;
    Ok(buffer)
}

pub(super) fn fill(
    file: &impl ReadAt,
    length: u64,
    offset: u64,
    buffer: &mut [u8],
    structure: &'static str,
) -> Result<(), HeaderError> {
    if offset.checked_add(buffer.len() as u64).is_none_or(|end| end > length) {
        return Err(HeaderError::TooShort { structure });
    }
    file.read_exact_at(buffer, offset).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => HeaderError::TooShort { structure },
        kind => HeaderError::Read { structure, kind },
    })
}

/// The `N` bytes at `at`. Every caller passes a place inside its buffer, so what lies outside reads as zero.
pub(super) fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut value = [0; N];
    if let Some(found) = bytes.get(at..at + N) {
        value.copy_from_slice(found);
    }
    value
}

pub(super) fn le16(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(array(bytes, at))
}

pub(super) fn le32(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array(bytes, at))
}

pub(super) fn le64(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array(bytes, at))
}

pub(super) fn be32(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(array(bytes, at))
}

pub(super) fn be64(bytes: &[u8], at: usize) -> u64 {
    u64::from_be_bytes(array(bytes, at))
}
