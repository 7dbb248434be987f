//! Octet strings: `uint8[]` with the qualifier OctetString is base64 in WS-CIM (DSP0230), not an element for each byte.
//!
//! In CIM the first four bytes are the length of the whole, themselves included (DSP0004, qualifier OctetString); in base64 they are left out, as
//! Windows does. Values that do not begin with their length are shown whole.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cimwright_cim::class::{Parameter, is_true};
use cimwright_cim::{CimType, Instance, Method, Param, Property, Qualifier, Schema, Value};

/// How many bytes say how long an octet string is.
const LENGTH: usize = 4;

/// Puts octet strings in base64 for the answer, also those of embedded instances. Most instances have no `uint8[]` at all: for them
/// this is a look at each property.
pub fn show_octets(instance: &mut Instance, schema: &Schema) {
    for at in 0..instance.properties.len() {
        let property = &instance.properties[at];
        if matches!(property.value, Some(Value::Array(_))) && property.cim_type == CimType::Uint8 {
            let class = schema.class(instance.class.as_str());
            if class.and_then(|c| c.property(property.name.as_str())).is_some_and(is_property) {
                let property = &mut instance.properties[at];
                property.value = property.value.take().map(shown);
            }
        } else if let Some(value) = &mut instance.properties[at].value {
            show_inside(value, schema);
        }
    }
}

/// The same for the outputs of a method.
pub fn show_octets_of(params: &mut [Param], method: &Method, schema: &Schema) {
    for param in params {
        match &mut param.value {
            Some(Value::Array(_)) if method.parameter(param.name.as_str()).is_some_and(is_parameter) => {
                param.value = param.value.take().map(shown);
            }
            Some(value) => show_inside(value, schema),
            None => {}
        }
    }
}

/// Whether a property is declared as an octet string.
pub(super) fn is_property(declared: &Property) -> bool {
    is_octets(declared.cim_type, declared.is_array, &declared.qualifiers)
}

/// Whether a parameter is.
pub(super) fn is_parameter(declared: &Parameter) -> bool {
    is_octets(declared.cim_type, declared.is_array, &declared.qualifiers)
}

/// The bytes of an octet string out of its base64. What is no base64 stays as it is: elements that are numbers are read as well.
pub(super) fn read(value: Value, is_octets: bool) -> Value {
    let Value::String(text) = &value else { return value };
    if !is_octets {
        return value;
    }
    let text: String = text.split_ascii_whitespace().collect();
    // A number of a byte has three digits at most, which is no base64.
    let Ok(bytes) = STANDARD.decode(text) else { return value };
    let Ok(length) = u32::try_from(bytes.len() + LENGTH) else { return value };
    let all = length.to_be_bytes().into_iter().chain(bytes);
    Value::Array(all.map(|byte| Some(Value::Uint8(byte))).collect())
}

fn is_octets(cim_type: CimType, is_array: bool, qualifiers: &[Qualifier]) -> bool {
    cim_type == CimType::Uint8 && is_array && is_true(qualifiers, "OctetString")
}

fn show_inside(value: &mut Value, schema: &Schema) {
    match value {
        Value::Instance(instance) => show_octets(instance, schema),
        Value::Array(items) => {
            for item in items.iter_mut().flatten() {
                show_inside(item, schema);
            }
        }
        _ => {}
    }
}

/// An octet string as its base64; what has an element without a value is none.
fn shown(value: Value) -> Value {
    let Value::Array(items) = &value else { return value };
    let bytes: Option<Vec<u8>> = items
        .iter()
        .map(|item| if let Some(Value::Uint8(byte)) = item { Some(*byte) } else { None })
        .collect();
    let Some(bytes) = bytes else { return value };
    let inside = match bytes.split_first_chunk::<LENGTH>() {
        Some((length, rest)) if u32::from_be_bytes(*length) as usize == bytes.len() => rest,
        _ => bytes.as_slice(),
    };
    Value::String(STANDARD.encode(inside))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema() -> Schema {
        let mut class = cimwright_cim::Class::new("X");
        let mut key = Property::new("Key", CimType::Uint8, None);
        key.is_array = true;
        let plain = Property { name: "Plain".into(), ..key.clone() };
        key.qualifiers = vec![Qualifier::flag("OctetString")];
        class.properties = vec![key, plain];
        let mut schema = Schema::new();
        schema.add_class(class).unwrap();
        schema
    }

    fn bytes(all: &[u8]) -> Value {
        Value::Array(all.iter().map(|b| Some(Value::Uint8(*b))).collect())
    }

    fn array(name: &str, all: &[u8]) -> Property {
        let mut property = Property::new(name, CimType::Uint8, Some(bytes(all)));
        property.is_array = true;
        property
    }

    #[test]
    fn octet_strings_are_base64_wherever_they_are() {
        let mut inner = Instance::new("X");
        inner.properties = vec![array("Key", &[0, 0, 0, 7, 1, 2, 3]), array("Plain", &[1, 2])];
        let mut outer = Instance::new("Y").with("Inner", Value::Instance(Box::new(inner)));
        show_octets(&mut outer, &schema());
        let inner = outer.get("Inner").and_then(Value::as_instance).unwrap();
        assert_eq!(inner.get_str("Key"), Some("AQID"));
        assert_eq!(inner.get("Plain"), Some(&bytes(&[1, 2])));
    }

    #[test]
    fn what_says_no_length_is_shown_whole() {
        assert_eq!(shown(bytes(&[1, 2, 3])), Value::from("AQID"));
        assert_eq!(shown(bytes(&[0, 0, 0, 4])), Value::from(""));
        assert_eq!(shown(bytes(&[])), Value::from(""));
        let holed = Value::Array(vec![None]);
        assert_eq!(shown(holed.clone()), holed);
    }

    #[test]
    fn base64_is_read_with_its_length() {
        assert_eq!(read("AQ\n ID".into(), true), bytes(&[0, 0, 0, 7, 1, 2, 3]));
        assert_eq!(read("".into(), true), bytes(&[0, 0, 0, 4]));
        assert_eq!(read("255".into(), true), Value::from("255"));
        assert_eq!(read("AQID".into(), false), Value::from("AQID"));
        assert_eq!(shown(read("AQID".into(), true)), Value::from("AQID"));
    }
}
