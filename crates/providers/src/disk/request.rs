//! From the parameters of a call to an order: everything that can be known to be wrong without touching the disk is refused here.

use super::errors;
use super::image::{ImageFormat, Subformat};
use super::layout::StoredLayout;
use cimwright_sdk::cim::{ErrorDetail, Instance};

/// A sector, in bytes: sizes are whole numbers of it.
const SECTOR: u64 = 512;
const MIB: u64 = 1 << 20;
const TIB: u64 = 1 << 40;
/// What a VHD can have at most (2040 GiB).
const VHD_LIMIT: u64 = 2040 << 30;
/// What a VHDX can have at most.
const VHDX_LIMIT: u64 = 64 * TIB;
/// The documented default of CreateDynamicVirtualHardDisk for size 0.
pub const DEFAULT_SIZE: u64 = 3 * MIB;
/// A 3.5" floppy of high density.
pub const FLOPPY_SIZE: u64 = 1_474_560;

/// The disk type numbers of both providers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskType {
    /// 2.
    Fixed,
    /// 3.
    Dynamic,
}

impl DiskType {
    /// The type with this number.
    ///
    /// # Errors
    /// For differencing disks, physical drives and numbers that mean nothing.
    pub fn from_number(number: u64, path: &str, method: &str) -> Result<Self, ErrorDetail> {
        match number {
            2 => Ok(Self::Fixed),
            3 => Ok(Self::Dynamic),
            4 => Err(errors::differencing(path, method)),
            other => Err(errors::type_unsupported(path, &other.to_string())),
        }
    }
}

/// The number of a type of disk, for answers.
pub fn type_number(subformat: Subformat, has_parent: bool) -> u16 {
    match (has_parent, subformat) {
        (true, _) => 4,
        (false, Subformat::Fixed) => 2,
        (false, Subformat::Dynamic) => 3,
    }
}

/// The format that the extension of a path tells.
///
/// # Errors
/// When it tells none.
pub fn format_of(path: &str) -> Result<ImageFormat, ErrorDetail> {
    ImageFormat::from_path(path).ok_or_else(|| errors::unknown_extension(path))
}

/// The layout of a new image.
///
/// # Errors
/// When the format does not have such a type or block size.
pub fn layout(
    path: &str,
    format: ImageFormat,
    disk_type: DiskType,
    block_size: u64,
) -> Result<StoredLayout, ErrorDetail> {
    if format == ImageFormat::Qcow2 && disk_type == DiskType::Fixed {
        return Err(errors::type_unsupported(path, "2 (fixed) in the qcow2 format"));
    }
    let block_size = match (format, block_size) {
        (_, 0) => None,
        // The only size the engine gives a dynamic VHD.
        (ImageFormat::Vhd, n) if n == 2 * MIB => None,
        (ImageFormat::Vhdx, n) if n.is_power_of_two() && (MIB..=256 * MIB).contains(&n) => Some(n),
        (ImageFormat::Vhd | ImageFormat::Vhdx | ImageFormat::Qcow2 | ImageFormat::Raw, n) => {
            return Err(errors::bad_block_size(path, &format!("{n} bytes for a {format}")));
        }
    };
    Ok(StoredLayout { format: format.into(), fixed: disk_type == DiskType::Fixed, block_size })
}

/// Checks the size of a disk, rounded up to whole sectors as documented.
///
/// # Errors
/// When it is zero or more than the format can have.
pub fn size(path: &str, format: ImageFormat, bytes: u64) -> Result<u64, ErrorDetail> {
    if bytes == 0 {
        return Err(errors::bad_size(path, "it is zero"));
    }
    let rounded =
        bytes.checked_next_multiple_of(SECTOR).ok_or_else(|| errors::bad_size(path, "it is too large"))?;
    match format {
        ImageFormat::Vhd if rounded > VHD_LIMIT => Err(errors::vhd_too_large(path)),
        ImageFormat::Vhdx if rounded > VHDX_LIMIT => Err(errors::vhdx_too_large(path)),
        // The engine counts in signed 64 bits.
        ImageFormat::Raw | ImageFormat::Qcow2 if rounded > i64::MAX as u64 - MIB => {
            Err(errors::bad_size(path, "it is too large"))
        }
        ImageFormat::Vhd | ImageFormat::Vhdx | ImageFormat::Raw | ImageFormat::Qcow2 => Ok(rounded),
    }
}

/// A size that the v1 pages demand to be a multiple of 512.
///
/// # Errors
/// When it is not.
pub fn exact_size(path: &str, format: ImageFormat, bytes: u64) -> Result<u64, ErrorDetail> {
    if !bytes.is_multiple_of(SECTOR) {
        return Err(errors::bad_size(path, "it is not a multiple of 512 bytes"));
    }
    size(path, format, bytes)
}

/// What an Msvm_VirtualHardDiskSettingData asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Path.
    pub path: String,
    /// The layout that Type, Format and BlockSize come to.
    pub layout: StoredLayout,
    /// The format, from Format or the extension.
    pub format: ImageFormat,
    /// MaxInternalSize; 0 when it was left out.
    pub size: u64,
}

/// Reads an Msvm_VirtualHardDiskSettingData.
///
/// # Errors
/// When something is missing, contradicts itself or cannot be made.
pub fn wanted(data: &Instance, method: &str) -> Result<Wanted, ErrorDetail> {
    let path = data.get_str("Path").unwrap_or_default().to_owned();
    if path.is_empty() {
        return Err(errors::setting_missing("unnamed disk", "where the disk is to be (Path)"));
    }
    let Some(type_number) = data.get_u64("Type") else {
        return Err(errors::setting_missing(&path, "the type of the disk (Type)"));
    };
    let disk_type = DiskType::from_number(type_number, &path, method)?;
    if data.get_str("ParentPath").is_some_and(|p| !p.is_empty()) {
        return Err(errors::differencing(&path, method));
    }
    let by_name = format_of(&path)?;
    let format = match data.get_u64("Format") {
        None | Some(0) => by_name,
        Some(2) if by_name == ImageFormat::Vhd => by_name,
        Some(3) if by_name == ImageFormat::Vhdx => by_name,
        Some(4) => return Err(errors::vhd_sets(&path, method)),
        Some(number) => {
            let name = match number {
                2 => "2, VHD".to_owned(),
                3 => "3, VHDX".to_owned(),
                other => other.to_string(),
            };
            return Err(errors::format_mismatch(&path, &name));
        }
    };
    if let Some(bytes @ 1..) = data.get_u64("LogicalSectorSize")
        && bytes != SECTOR
    {
        return Err(errors::sector_size(&path, "logical sectors", &bytes.to_string()));
    }
    if let Some(bytes @ 1..) = data.get_u64("PhysicalSectorSize")
        && !matches!(bytes, 512 | 4096)
    {
        return Err(errors::sector_size(&path, "physical sectors", &bytes.to_string()));
    }
    let layout = layout(&path, format, disk_type, data.get_u64("BlockSize").unwrap_or(0))?;
    Ok(Wanted { path, layout, format, size: data.get_u64("MaxInternalSize").unwrap_or(0) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use cimwright_sdk::cim::Value;

    fn data(path: &str) -> Instance {
        Instance::new("Msvm_VirtualHardDiskSettingData").with("Path", path).with("Type", Value::Uint16(3))
    }

    fn id<T: std::fmt::Debug>(result: Result<T, ErrorDetail>) -> String {
        result.unwrap_err().message_id
    }

    #[test]
    fn the_extension_decides_and_format_may_not_contradict() {
        let got = wanted(&data("/r/a.VHDX"), "Create").unwrap();
        assert_eq!((got.format, got.layout.fixed, got.size), (ImageFormat::Vhdx, false, 0));
        assert!(wanted(&data("/r/a.vhd").with("Format", Value::Uint16(2)), "Create").is_ok());
        assert_eq!(id(wanted(&data("/r/a.vhd").with("Format", Value::Uint16(3)), "Create")), "CWDISK1105");
        assert_eq!(id(wanted(&data("/r/a.vhds").with("Format", Value::Uint16(4)), "Create")), "CWDISK1104");
        assert_eq!(id(wanted(&data("/r/a.vhdx").with("Format", Value::Uint16(4)), "Create")), "CWDISK1109");
        assert_eq!(id(wanted(&data("/r/a.txt"), "Create")), "CWDISK1104");
    }

    #[test]
    fn what_cannot_be_made_is_refused_with_its_own_reason() {
        assert_eq!(id(wanted(&Instance::new("X"), "Create")), "CWDISK1113");
        assert_eq!(id(wanted(&Instance::new("X").with("Path", "/r/a.vhd"), "Create")), "CWDISK1113");
        assert_eq!(id(wanted(&data("/r/a.vhdx").with("Type", Value::Uint16(4)), "Create")), "CWDISK1107");
        assert_eq!(id(wanted(&data("/r/a.vhdx").with("ParentPath", "/r/b.vhdx"), "Create")), "CWDISK1107");
        assert_eq!(id(wanted(&data("/r/a.vhdx").with("Type", Value::Uint16(9)), "Create")), "CWDISK1106");
        assert_eq!(id(wanted(&data("/r/a.qcow2").with("Type", Value::Uint16(2)), "Create")), "CWDISK1106");
        assert_eq!(
            id(wanted(&data("/r/a.vhdx").with("BlockSize", Value::Uint32(3)), "Create")),
            "CWDISK1030"
        );
        assert_eq!(
            id(wanted(&data("/r/a.vhdx").with("LogicalSectorSize", Value::Uint32(4096)), "C")),
            "CWDISK1114"
        );
        assert!(wanted(&data("/r/a.vhdx").with("BlockSize", Value::Uint32(1 << 25)), "Create").is_ok());
    }

    #[test]
    fn sizes_have_limits() {
        assert_eq!(size("a", ImageFormat::Vhdx, 1).unwrap(), 512);
        assert_eq!(id(size("a", ImageFormat::Vhdx, 0)), "CWDISK1033");
        assert_eq!(id(size("a", ImageFormat::Vhdx, 65 << 40)), "CWDISK1031");
        assert_eq!(id(size("a", ImageFormat::Vhd, 3 << 40)), "CWDISK1032");
        assert_eq!(id(size("a", ImageFormat::Raw, u64::MAX)), "CWDISK1033");
        assert_eq!(id(exact_size("a", ImageFormat::Vhd, 1000)), "CWDISK1033");
    }
}
