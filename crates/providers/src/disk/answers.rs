//! Descriptions of images as the classes of both namespaces have them.

use super::image::{ImageFormat, ImageInfo, Subformat};
use super::request::type_number;
use cimwright_sdk::cim::{CimError, Instance, Schema, Value};

/// Msvm_VirtualHardDiskInfo (v1).
///
/// # Errors
/// When the class is not in the schema.
pub fn virtual_hard_disk_info(
    schema: &Schema,
    info: &ImageInfo,
    file_size: u64,
    in_use: bool,
) -> Result<Instance, CimError> {
    let mut instance = of_class(schema, "Msvm_VirtualHardDiskInfo")?;
    let values = [
        ("Type", Value::Uint16(type_number(info.subformat, info.has_parent))),
        ("FileSize", Value::Uint64(file_size)),
        ("MaxInternalSize", Value::Uint64(info.virtual_size_bytes)),
        ("InSavedState", Value::Boolean(info.dirty)),
        ("InUse", Value::Boolean(in_use)),
    ];
    for (name, value) in values {
        instance.set(name, Some(value));
    }
    instance.set("ParentPath", info.parent.clone().map(Value::String));
    Ok(instance)
}

/// Msvm_VirtualHardDiskSettingData (v2).
///
/// # Errors
/// When the class is not in the schema.
pub fn setting_data(schema: &Schema, path: &str, info: &ImageInfo) -> Result<Instance, CimError> {
    let mut instance = of_class(schema, "Msvm_VirtualHardDiskSettingData")?;
    let format = match info.format {
        ImageFormat::Vhd => Some(Value::Uint16(2)),
        ImageFormat::Vhdx => Some(Value::Uint16(3)),
        // The class has no number for them.
        ImageFormat::Qcow2 | ImageFormat::Raw => None,
    };
    let block_size = match (info.format, info.subformat) {
        (ImageFormat::Vhd, Subformat::Fixed) | (ImageFormat::Raw, _) => Some(0),
        _ => info.block_size_bytes.and_then(|b| u32::try_from(b).ok()),
    };
    let name = path.rsplit(['/', '\\']).next().unwrap_or(path);
    let values = [
        ("InstanceID", Some(Value::String(format!("Cimwright:{path}")))),
        ("ElementName", Some(Value::from(name))),
        ("Caption", Some(Value::from("Virtual hard disk setting data"))),
        ("Description", Some(Value::String(format!("Settings of the virtual hard disk {name}")))),
        ("Type", Some(Value::Uint16(type_number(info.subformat, info.has_parent)))),
        ("Format", format),
        ("Path", Some(Value::from(path))),
        ("ParentPath", info.parent.clone().map(Value::String)),
        ("MaxInternalSize", Some(Value::Uint64(info.virtual_size_bytes))),
        ("BlockSize", block_size.map(Value::Uint32)),
        ("LogicalSectorSize", Some(Value::Uint32(info.logical_sector_bytes))),
        ("PhysicalSectorSize", Some(Value::Uint32(info.physical_sector_bytes))),
        ("VirtualDiskId", info.disk_id.as_ref().map(|id| Value::String(id.to_string()))),
        ("IsPmemCompatible", Some(Value::Boolean(false))),
        ("PmemAddressAbstractionType", Some(Value::Uint16(0))),
    ];
    for (name, value) in values {
        instance.set(name, value);
    }
    Ok(instance)
}

/// Msvm_VirtualHardDiskState (v2). `data_end` is the smallest size the disk can be given, if it was found out.
///
/// # Errors
/// When the class is not in the schema.
pub fn state(
    schema: &Schema,
    info: &ImageInfo,
    file_size: u64,
    in_use: bool,
    data_end: Option<u64>,
    changed: Value,
) -> Result<Instance, CimError> {
    let mut instance = of_class(schema, "Msvm_VirtualHardDiskState")?;
    let values = [
        ("FileSize", Some(Value::Uint64(file_size))),
        ("InUse", Some(Value::Boolean(in_use))),
        ("MinInternalSize", data_end.map(Value::Uint64)),
        ("PhysicalSectorSize", Some(Value::Uint32(info.physical_sector_bytes))),
        // Blocks of every image that the engine makes begin at multiples of 4 KiB of the file, except those of a dynamic VHD.
        ("Alignment", Some(Value::Uint32(u32::from(info.format != ImageFormat::Vhd)))),
        // The engine does not tell how fragmented a file is, and nothing is invented.
        ("FragmentationPercentage", None),
        ("Timestamp", Some(changed)),
    ];
    for (name, value) in values {
        instance.set(name, value);
    }
    Ok(instance)
}

fn of_class(schema: &Schema, class: &str) -> Result<Instance, CimError> {
    schema
        .class(class)
        .map(|c| Instance::of_class(c))
        .ok_or_else(|| CimError::failed(format!("the schema of this namespace lacks {class}")))
}
