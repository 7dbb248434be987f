//! What a disk image is: its format, and the facts about it that decide what may be done with it.
//!
//! The engine tells most of it. What it does not tell for VHD and VHDX (fixed or dynamic, a parent, the identity) is
//! read here from the headers: a handful of bounded reads at known places, of data that is trusted in nothing.

mod bytes;
mod vhd;
mod vhdx;

use std::fmt;

pub use bytes::ReadAt;
pub use vhd::{VhdHeader, VhdKind};
pub use vhdx::VhdxHeader;

use super::engine::QemuInfo;

/// The formats this server works with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ImageFormat {
    /// The older format of Virtual PC and Hyper-V (`.vhd`, `.vpc`).
    Vhd,
    /// The newer format of Hyper-V (`.vhdx`, `.avhdx`).
    Vhdx,
    /// QEMU's format (`.qcow2`).
    Qcow2,
    /// Nothing but the bytes of the disk (`.raw`, `.img`, `.bin`, `.vfd`).
    Raw,
}

/// Whether an image holds its whole size on the storage from the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Subformat {
    /// All space is allocated.
    Fixed,
    /// Space is allocated when it is written.
    Dynamic,
}

/// The identity inside an image, written in the usual order of its text form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DiskId(pub [u8; 16]);

/// What the headers of a file say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageHeader {
    /// Of a VHD.
    Vhd(VhdHeader),
    /// Of a VHDX.
    Vhdx(VhdxHeader),
    /// The other formats are told about by the engine alone.
    None,
}

/// Why the headers of a file are not those of its format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// The file ends before something that must be there.
    #[error("the file ends before its {structure}")]
    TooShort {
        /// What was being read.
        structure: &'static str,
    },
    /// A structure does not begin with its mark.
    #[error("the {structure} does not begin with its signature")]
    Signature {
        /// What was being read.
        structure: &'static str,
    },
    /// A structure does not match its checksum.
    #[error("the {structure} does not match its checksum")]
    Checksum {
        /// What was being read.
        structure: &'static str,
    },
    /// A field has a value that the format does not allow.
    #[error("the {structure} is invalid: {field} is {value}")]
    Field {
        /// What was being read.
        structure: &'static str,
        /// The field.
        field: &'static str,
        /// Its value.
        value: u64,
    },
    /// Something that every file of the format has is not there.
    #[error("the {structure} has no {item}")]
    Missing {
        /// Where it was looked for.
        structure: &'static str,
        /// What was looked for.
        item: &'static str,
    },
    /// The file cannot be read.
    #[error("reading the {structure} failed: {kind}")]
    Read {
        /// What was being read.
        structure: &'static str,
        /// What the system answered.
        kind: std::io::ErrorKind,
    },
}

/// Everything known about an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageInfo {
    /// The format.
    pub format: ImageFormat,
    /// The size of the disk that a machine sees, in bytes.
    pub virtual_size_bytes: u64,
    /// The space the file takes on the storage, in bytes.
    pub actual_size_bytes: u64,
    /// Fixed or dynamic. Raw images count as fixed, qcow2 as dynamic.
    pub subformat: Subformat,
    /// The image holds only differences to another one.
    pub has_parent: bool,
    /// The parent as the image names it, where the engine tells.
    pub parent: Option<String>,
    /// The unit of allocation in bytes.
    pub block_size_bytes: Option<u64>,
    /// The identity, which copies made by a file copy share.
    pub disk_id: Option<DiskId>,
    /// The sector size a machine sees, in bytes.
    pub logical_sector_bytes: u32,
    /// The physical sector size a machine is told, in bytes.
    pub physical_sector_bytes: u32,
    /// The image was not closed properly, or its log has not been replayed.
    pub dirty: bool,
}

impl ImageFormat {
    /// The format that a file name's extension stands for; nothing for an unknown one.
    pub fn from_path(path: &str) -> Option<Self> {
        let name = path.rsplit(['/', '\\']).next()?;
        let (_, extension) = name.rsplit_once('.')?;
        match extension.to_ascii_lowercase().as_str() {
            "vhd" | "vpc" => Some(Self::Vhd),
            "vhdx" | "avhdx" => Some(Self::Vhdx),
            "qcow2" => Some(Self::Qcow2),
            "raw" | "img" | "bin" | "vfd" => Some(Self::Raw),
            _ => None,
        }
    }

    /// The name qemu-img uses.
    pub fn engine_name(self) -> &'static str {
        match self {
            Self::Vhd => "vpc",
            Self::Vhdx => "vhdx",
            Self::Qcow2 => "qcow2",
            Self::Raw => "raw",
        }
    }

    /// The format whose signature the file carries. A raw image carries none, so nothing is no proof of one.
    ///
    /// # Errors
    /// [`HeaderError::Read`].
    pub fn detect(file: &impl ReadAt) -> Result<Option<Self>, HeaderError> {
        let length = bytes::length(file, "file")?;
        if vhdx::has_signature(file, length)? {
            return Ok(Some(Self::Vhdx));
        }
        if length >= 4 && bytes::read::<4>(file, length, 0, "file")? == *b"QFI\xfb" {
            return Ok(Some(Self::Qcow2));
        }
        Ok(vhd::has_signature(file, length)?.then_some(Self::Vhd))
    }
}

impl ImageHeader {
    /// Reads the headers of a file of a known format. Blocks for a few small reads.
    ///
    /// # Errors
    /// [`HeaderError`]: the file is not what it is said to be.
    pub fn read(file: &impl ReadAt, format: ImageFormat) -> Result<Self, HeaderError> {
        match format {
            ImageFormat::Vhd => VhdHeader::read(file).map(Self::Vhd),
            ImageFormat::Vhdx => VhdxHeader::read(file).map(Self::Vhdx),
            ImageFormat::Qcow2 | ImageFormat::Raw => Ok(Self::None),
        }
    }
}

impl ImageInfo {
    /// Puts together what the engine and the headers tell.
    pub fn new(format: ImageFormat, engine: &QemuInfo, header: &ImageHeader) -> Self {
        let mut info = Self {
            format,
            virtual_size_bytes: engine.virtual_size_bytes,
            actual_size_bytes: engine.actual_size_bytes,
            subformat: if format == ImageFormat::Raw { Subformat::Fixed } else { Subformat::Dynamic },
            has_parent: engine.backing_file.is_some(),
            parent: engine.backing_file.clone(),
            block_size_bytes: engine.cluster_size_bytes,
            disk_id: None,
            logical_sector_bytes: 512,
            physical_sector_bytes: 512,
            dirty: engine.dirty,
        };
        match header {
            ImageHeader::Vhd(vhd) => {
                info.subformat = vhd.subformat();
                info.has_parent |= vhd.kind == VhdKind::Differencing;
                info.disk_id = Some(vhd.disk_id);
                info.block_size_bytes = vhd.block_size_bytes.map(u64::from);
                info.dirty |= vhd.saved_state;
            }
            ImageHeader::Vhdx(vhdx) => {
                info.subformat = vhdx.subformat();
                info.has_parent |= vhdx.has_parent;
                info.disk_id = Some(vhdx.disk_id);
                info.block_size_bytes = Some(u64::from(vhdx.block_size_bytes));
                info.logical_sector_bytes = vhdx.logical_sector_bytes;
                info.physical_sector_bytes = vhdx.physical_sector_bytes;
                info.dirty |= vhdx.log_pending;
            }
            ImageHeader::None => {}
        }
        info
    }
}

impl fmt::Display for ImageFormat {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Vhd => "VHD",
            Self::Vhdx => "VHDX",
            Self::Qcow2 => "qcow2",
            Self::Raw => "raw",
        })
    }
}

impl fmt::Display for DiskId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                formatter.write_str("-")?;
            }
            write!(formatter, "{byte:02X}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
