//! The stored forms of formats and layouts, so that a stored job does not depend on how the code spells them.

use super::engine::ImageLayout;
use super::image::{ImageFormat, Subformat};
use serde::{Deserialize, Serialize};

/// A format, as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the variants are those of ImageFormat")]
pub enum StoredFormat {
    Vhd,
    Vhdx,
    Qcow2,
    Raw,
}

/// A layout, as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredLayout {
    /// The format.
    pub format: StoredFormat,
    /// Fixed; otherwise dynamic.
    pub fixed: bool,
    /// The unit of allocation in bytes; `None` leaves it to the engine.
    pub block_size: Option<u64>,
}

impl From<ImageFormat> for StoredFormat {
    fn from(format: ImageFormat) -> Self {
        match format {
            ImageFormat::Vhd => Self::Vhd,
            ImageFormat::Vhdx => Self::Vhdx,
            ImageFormat::Qcow2 => Self::Qcow2,
            ImageFormat::Raw => Self::Raw,
        }
    }
}

impl From<StoredFormat> for ImageFormat {
    fn from(format: StoredFormat) -> Self {
        match format {
            StoredFormat::Vhd => Self::Vhd,
            StoredFormat::Vhdx => Self::Vhdx,
            StoredFormat::Qcow2 => Self::Qcow2,
            StoredFormat::Raw => Self::Raw,
        }
    }
}

impl From<StoredLayout> for ImageLayout {
    fn from(layout: StoredLayout) -> Self {
        Self {
            format: layout.format.into(),
            subformat: if layout.fixed { Subformat::Fixed } else { Subformat::Dynamic },
            block_size_bytes: layout.block_size,
        }
    }
}
