//! The headers of a VHDX, from the layout of Microsoft's [MS-VHDX]: numbers are little-endian; two headers at 64 and
//! 128 KiB of which the valid one with the higher sequence number counts; two copies of a region table at 192 and
//! 256 KiB that lead to the metadata.

use super::bytes::{self, ReadAt, array, le16, le32, le64};
use super::{DiskId, HeaderError, Subformat};

const IDENTIFIER: &str = "VHDX file identifier";
const HEADER: &str = "VHDX header";
const REGIONS: &str = "VHDX region table";
const METADATA: &str = "VHDX metadata table";

const HEADER_OFFSETS: [u64; 2] = [64 << 10, 128 << 10];
const REGION_OFFSETS: [u64; 2] = [192 << 10, 256 << 10];
const REGION_TABLE_BYTES: usize = 64 << 10;
const MAX_REGIONS: u32 = 2047;
const METADATA_TABLE_BYTES: usize = 64 << 10;
const MAX_METADATA_ENTRIES: u16 = 2047;
const MAX_DISK_BYTES: u64 = 64 << 40;

// Identities as they stand in the file: the first three groups little-endian.
const METADATA_REGION: [u8; 16] = guid(0x8B7C_A206, 0x4790, 0x4B9A, 0xB8FE_575F_050F_886E);
const FILE_PARAMETERS: [u8; 16] = guid(0xCAA1_6737, 0xFA36, 0x4D43, 0xB3B6_33F0_AA44_E76B);
const VIRTUAL_DISK_SIZE: [u8; 16] = guid(0x2FA5_4224, 0xCD1B, 0x4876, 0xB211_5DBE_D83B_F4B8);
const VIRTUAL_DISK_ID: [u8; 16] = guid(0xBECA_12AB, 0xB2E6, 0x4523, 0x93EF_C309_E000_C746);
const LOGICAL_SECTOR: [u8; 16] = guid(0x8141_BF1D, 0xA96F, 0x4709, 0xBA47_F233_A8FA_AB5F);
const PHYSICAL_SECTOR: [u8; 16] = guid(0xCDA3_48C7, 0x445D, 0x4471, 0x9CC9_E988_5251_C556);

/// What the headers and the metadata say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VhdxHeader {
    /// The size of the disk in bytes.
    pub virtual_size_bytes: u64,
    /// The unit of allocation in bytes.
    pub block_size_bytes: u32,
    /// Blocks stay allocated: the disk is fixed.
    pub leave_blocks_allocated: bool,
    /// The disk is a differencing one.
    pub has_parent: bool,
    /// The identity.
    pub disk_id: DiskId,
    /// The sector size a machine sees, in bytes: 512 or 4096.
    pub logical_sector_bytes: u32,
    /// The physical sector size a machine is told, in bytes: 512 or 4096.
    pub physical_sector_bytes: u32,
    /// The log may hold changes that are not in place yet.
    pub log_pending: bool,
}

impl VhdxHeader {
    pub(super) fn read(file: &impl ReadAt) -> Result<Self, HeaderError> {
        let length = bytes::length(file, IDENTIFIER)?;
        if !has_signature(file, length)? {
            return Err(HeaderError::Signature { structure: IDENTIFIER });
        }
        let log_pending = current_header(file, length)?.log_pending;
        let metadata = Metadata::read(file, length, metadata_offset(file, length)?)?;
        let parameters: [u8; 8] = metadata.item(FILE_PARAMETERS, "file parameters")?;
        let virtual_size_bytes = u64::from_le_bytes(metadata.item(VIRTUAL_DISK_SIZE, "virtual disk size")?);
        let disk_id: [u8; 16] = metadata.item(VIRTUAL_DISK_ID, "virtual disk identity")?;
        let header = Self {
            virtual_size_bytes,
            block_size_bytes: le32(&parameters, 0),
            leave_blocks_allocated: parameters[4] & 1 != 0,
            has_parent: parameters[4] & 2 != 0,
            disk_id: DiskId(text_order(disk_id)),
            logical_sector_bytes: u32::from_le_bytes(metadata.item(LOGICAL_SECTOR, "logical sector size")?),
            physical_sector_bytes: u32::from_le_bytes(
                metadata.item(PHYSICAL_SECTOR, "physical sector size")?,
            ),
            log_pending,
        };
        header.check()?;
        Ok(header)
    }

    /// Fixed or dynamic.
    pub fn subformat(&self) -> Subformat {
        if self.leave_blocks_allocated { Subformat::Fixed } else { Subformat::Dynamic }
    }

    /// [MS-VHDX] 2.6.2: the ranges of the metadata items.
    fn check(&self) -> Result<(), HeaderError> {
        let wrong = |field, value| Err(HeaderError::Field { structure: METADATA, field, value });
        if !self.block_size_bytes.is_power_of_two() || !(1 << 20..=256 << 20).contains(&self.block_size_bytes)
        {
            return wrong("block size", u64::from(self.block_size_bytes));
        }
        for (field, value) in [
            ("logical sector size", self.logical_sector_bytes),
            ("physical sector size", self.physical_sector_bytes),
        ] {
            if !matches!(value, 512 | 4096) {
                return wrong(field, u64::from(value));
            }
        }
        if self.virtual_size_bytes > MAX_DISK_BYTES
            || !self.virtual_size_bytes.is_multiple_of(u64::from(self.logical_sector_bytes))
        {
            return wrong("virtual disk size", self.virtual_size_bytes);
        }
        Ok(())
    }
}

pub(super) fn has_signature(file: &impl ReadAt, length: u64) -> Result<bool, HeaderError> {
    Ok(length >= 8 && bytes::read::<8>(file, length, 0, IDENTIFIER)? == *b"vhdxfile")
}

struct Header {
    sequence: u64,
    log_pending: bool,
}

/// The valid header with the higher sequence number; the error of the first when neither is valid.
fn current_header(file: &impl ReadAt, length: u64) -> Result<Header, HeaderError> {
    let [first, second] = HEADER_OFFSETS.map(|offset| header_at(file, length, offset));
    match (first, second) {
        (Ok(first), Ok(second)) => Ok(if second.sequence > first.sequence { second } else { first }),
        (Ok(only), Err(_)) | (Err(_), Ok(only)) => Ok(only),
        (Err(first), Err(_)) => Err(first),
    }
}

fn header_at(file: &impl ReadAt, length: u64, offset: u64) -> Result<Header, HeaderError> {
    let mut header: [u8; 4096] = bytes::read(file, length, offset, HEADER)?;
    if header[..4] != *b"head" {
        return Err(HeaderError::Signature { structure: HEADER });
    }
    check_crc(&mut header, HEADER)?;
    let version = le16(&header, 66);
    if version != 1 {
        return Err(HeaderError::Field { structure: HEADER, field: "version", value: u64::from(version) });
    }
    Ok(Header { sequence: le64(&header, 8), log_pending: array::<16>(&header, 48) != [0; 16] })
}

/// Where the metadata region begins, from the first valid region table.
fn metadata_offset(file: &impl ReadAt, length: u64) -> Result<u64, HeaderError> {
    let [first, second] = REGION_OFFSETS.map(|offset| metadata_offset_at(file, length, offset));
    first.or_else(|error| second.map_err(|_| error))
}

fn metadata_offset_at(file: &impl ReadAt, length: u64, offset: u64) -> Result<u64, HeaderError> {
    let mut table = vec![0; REGION_TABLE_BYTES];
    bytes::fill(file, length, offset, &mut table, REGIONS)?;
    if table[..4] != *b"regi" {
        return Err(HeaderError::Signature { structure: REGIONS });
    }
    check_crc(&mut table, REGIONS)?;
    let count = le32(&table, 8);
    if count > MAX_REGIONS {
        return Err(HeaderError::Field { structure: REGIONS, field: "entry count", value: u64::from(count) });
    }
    table[16..]
        .chunks_exact(32)
        .take(count as usize)
        .find(|entry| entry[..16] == METADATA_REGION)
        .map(|entry| le64(entry, 16))
        .ok_or(HeaderError::Missing { structure: REGIONS, item: "metadata region" })
}

struct Metadata<'file, F> {
    file: &'file F,
    length: u64,
    offset: u64,
    table: Vec<u8>,
    count: usize,
}

impl<'file, F: ReadAt> Metadata<'file, F> {
    fn read(file: &'file F, length: u64, offset: u64) -> Result<Self, HeaderError> {
        let mut table = vec![0; METADATA_TABLE_BYTES];
        bytes::fill(file, length, offset, &mut table, METADATA)?;
        if table[..8] != *b"metadata" {
            return Err(HeaderError::Signature { structure: METADATA });
        }
        let count = le16(&table, 10);
        if count > MAX_METADATA_ENTRIES {
            return Err(HeaderError::Field {
                structure: METADATA,
                field: "entry count",
                value: u64::from(count),
            });
        }
        Ok(Self { file, length, offset, table, count: usize::from(count) })
    }

    /// The first bytes of an item, whose place is relative to the region.
    fn item<const N: usize>(&self, identity: [u8; 16], item: &'static str) -> Result<[u8; N], HeaderError> {
        let entry = self.table[32..]
            .chunks_exact(32)
            .take(self.count)
            .find(|entry| entry[..16] == identity)
            .ok_or(HeaderError::Missing { structure: METADATA, item })?;
        let size = le32(entry, 20);
        if (size as usize) < N {
            return Err(HeaderError::Field { structure: METADATA, field: item, value: u64::from(size) });
        }
        let place = self
            .offset
            .checked_add(u64::from(le32(entry, 16)))
            .ok_or(HeaderError::TooShort { structure: METADATA })?;
        bytes::read(self.file, self.length, place, METADATA)
    }
}

/// Compares the CRC-32C at byte 4 with that of the structure in which this field is zero.
fn check_crc(structure: &mut [u8], name: &'static str) -> Result<(), HeaderError> {
    let stored = le32(structure, 4);
    structure[4..8].fill(0);
    if crc32c(structure) == stored { Ok(()) } else { Err(HeaderError::Checksum { structure: name }) }
}

/// CRC-32C (Castagnoli), bit by bit: the structures are small and read once.
pub(super) fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = !0u32;
    for &byte in bytes {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0x82F6_3B78 & (crc & 1).wrapping_neg());
        }
    }
    !crc
}

const fn guid(first: u32, second: u16, third: u16, rest: u64) -> [u8; 16] {
    let (a, b, c, d) = (first.to_le_bytes(), second.to_le_bytes(), third.to_le_bytes(), rest.to_be_bytes());
    [a[0], a[1], a[2], a[3], b[0], b[1], c[0], c[1], d[0], d[1], d[2], d[3], d[4], d[5], d[6], d[7]]
}

/// The bytes in the order of the text form.
fn text_order(mut bytes: [u8; 16]) -> [u8; 16] {
    bytes[..4].reverse();
    bytes[4..6].reverse();
    bytes[6..8].reverse();
    bytes
}
