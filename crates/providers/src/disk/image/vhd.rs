//! The headers of a VHD, from the layout of Microsoft's "Virtual Hard Disk Image Format Specification": all numbers
//! are big-endian; the footer is the last 512 bytes, and a dynamic file repeats it at the start.

use super::bytes::{self, ReadAt, array, be32, be64};
use super::{DiskId, HeaderError, Subformat};

const FOOTER: &str = "VHD footer";
const DYNAMIC_HEADER: &str = "VHD dynamic disk header";
const FOOTER_BYTES: u64 = 512;
const FOOTER_COOKIE: [u8; 8] = *b"conectix";
const DYNAMIC_COOKIE: [u8; 8] = *b"cxsparse";

/// The disk type of the footer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VhdKind {
    /// 2
    Fixed,
    /// 3
    Dynamic,
    /// 4
    Differencing,
}

/// What the footer and, where there is one, the dynamic header say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VhdHeader {
    /// Fixed, dynamic or differencing.
    pub kind: VhdKind,
    /// The size at creation, in bytes.
    pub original_size_bytes: u64,
    /// The size now, in bytes.
    pub current_size_bytes: u64,
    /// The identity.
    pub disk_id: DiskId,
    /// The program that made the file.
    pub creator: [u8; 4],
    /// The file belongs to a machine in saved state.
    pub saved_state: bool,
    /// The unit of allocation in bytes, unless fixed.
    pub block_size_bytes: Option<u32>,
    /// The identity of the parent, for a differencing disk.
    pub parent_id: Option<DiskId>,
    /// The footer at the end is missing or damaged, and this was read from the copy at the start.
    pub from_copy: bool,
}

impl VhdHeader {
    pub(super) fn read(file: &impl ReadAt) -> Result<Self, HeaderError> {
        let length = bytes::length(file, FOOTER)?;
        let at_end = length.checked_sub(FOOTER_BYTES).ok_or(HeaderError::TooShort { structure: FOOTER })?;
        match footer_at(file, length, at_end) {
            Ok(footer) => Self::parse(file, length, &footer, false),
            // A dynamic file that was cut off still has the copy; a fixed one has data there.
            Err(first) => match footer_at(file, length, 0) {
                Ok(footer) => Self::parse(file, length, &footer, true),
                Err(_) => Err(first),
            },
        }
    }

    /// Fixed or dynamic; a differencing disk grows like a dynamic one.
    pub fn subformat(&self) -> Subformat {
        match self.kind {
            VhdKind::Fixed => Subformat::Fixed,
            VhdKind::Dynamic | VhdKind::Differencing => Subformat::Dynamic,
        }
    }

    fn parse(
        file: &impl ReadAt,
        length: u64,
        footer: &[u8; 512],
        from_copy: bool,
    ) -> Result<Self, HeaderError> {
        let kind = match be32(footer, 60) {
            2 => VhdKind::Fixed,
            3 => VhdKind::Dynamic,
            4 => VhdKind::Differencing,
            other => {
                return Err(HeaderError::Field {
                    structure: FOOTER,
                    field: "disk type",
                    value: u64::from(other),
                });
            }
        };
        let mut header = Self {
            kind,
            original_size_bytes: be64(footer, 40),
            current_size_bytes: be64(footer, 48),
            disk_id: DiskId(array(footer, 68)),
            creator: array(footer, 28),
            saved_state: footer[84] != 0,
            block_size_bytes: None,
            parent_id: None,
            from_copy,
        };
        if kind != VhdKind::Fixed {
            let dynamic: [u8; 1024] = bytes::read(file, length, be64(footer, 16), DYNAMIC_HEADER)?;
            if array::<8>(&dynamic, 0) != DYNAMIC_COOKIE {
                return Err(HeaderError::Signature { structure: DYNAMIC_HEADER });
            }
            if checksum(&dynamic, 36) != be32(&dynamic, 36) {
                return Err(HeaderError::Checksum { structure: DYNAMIC_HEADER });
            }
            header.block_size_bytes = Some(be32(&dynamic, 32));
            header.parent_id = (kind == VhdKind::Differencing).then(|| DiskId(array(&dynamic, 40)));
        }
        Ok(header)
    }
}

/// Whether a footer stands at the end, or its copy at the start.
pub(super) fn has_signature(file: &impl ReadAt, length: u64) -> Result<bool, HeaderError> {
    let Some(at_end) = length.checked_sub(FOOTER_BYTES) else { return Ok(false) };
    Ok(bytes::read::<8>(file, length, at_end, FOOTER)? == FOOTER_COOKIE
        || bytes::read::<8>(file, length, 0, FOOTER)? == FOOTER_COOKIE)
}

fn footer_at(file: &impl ReadAt, length: u64, offset: u64) -> Result<[u8; 512], HeaderError> {
    let footer: [u8; 512] = bytes::read(file, length, offset, FOOTER)?;
    if array::<8>(&footer, 0) != FOOTER_COOKIE {
        return Err(HeaderError::Signature { structure: FOOTER });
    }
    if checksum(&footer, 64) != be32(&footer, 64) {
        return Err(HeaderError::Checksum { structure: FOOTER });
    }
    Ok(footer)
}

/// The complement of the sum of all bytes outside the checksum field itself.
fn checksum(structure: &[u8], field: usize) -> u32 {
    let sum = structure
        .iter()
        .enumerate()
        .filter(|(index, _)| !(field..field + 4).contains(index))
        .fold(0u32, |sum, (_, &byte)| sum.wrapping_add(u32::from(byte)));
    !sum
}
