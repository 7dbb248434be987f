//! What is written reads back the same, and nothing that arrives makes the reader panic.

use crate::golden;
use cimwright_cim::operation::{AssociationFilter, InstanceOptions, ObjectShape, OpenOptions, PullKind};
use cimwright_cim::{
    CimType, ClassPath, DateTime, Embedded, Instance, InstancePath, Name, NamespaceName, ObjectPath,
    Operation, OperationResult, Param, Property, Request, Value,
};
use cimwright_codec::cimxml::{
    EncodeContext, Headers, Limits, decode_request, decode_response, encode_request, encode_response,
    instance_text, operation_name, parse_instance_text,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

fn name() -> impl Strategy<Value = Name> {
    "[A-Za-z_][A-Za-z0-9_]{0,6}".prop_map(Name::from)
}

/// Text with everything that XML can hold, mostly what needs escaping.
fn text() -> impl Strategy<Value = String> {
    vec(prop_oneof![4 => proptest::char::ranges(vec![' '..='~', '\t'..='\n', '\r'..='\r'].into()), 1 => any::<char>()], 0..12)
        .prop_map(|chars| {
            chars.into_iter().filter(|c| (*c >= ' ' || "\t\r\n".contains(*c)) && !"\u{fffe}\u{ffff}".contains(*c)).collect()
        })
}

fn datetime() -> impl Strategy<Value = DateTime> {
    (any::<u32>(), 0..24u8, 0..60u8, 0..60u8, 0..1_000_000u32).prop_map(
        |(days, hours, minutes, seconds, micros)| DateTime::Interval {
            days: days % 100_000_000,
            hours,
            minutes,
            seconds,
            micros,
            known: 20,
        },
    )
}

fn integer() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<u8>().prop_map(Value::Uint8),
        any::<i8>().prop_map(Value::Sint8),
        any::<u16>().prop_map(Value::Uint16),
        any::<i16>().prop_map(Value::Sint16),
        any::<u32>().prop_map(Value::Uint32),
        any::<i32>().prop_map(Value::Sint32),
        any::<u64>().prop_map(Value::Uint64),
        any::<i64>().prop_map(Value::Sint64),
    ]
}

fn key() -> impl Strategy<Value = Value> {
    prop_oneof![
        text().prop_map(Value::String),
        integer(),
        any::<bool>().prop_map(Value::Boolean),
        datetime().prop_map(Value::DateTime),
        (-1e20f64..1e20).prop_map(Value::Real64),
        (32..0xd800u16).prop_map(Value::Char16),
    ]
}

fn path() -> impl Strategy<Value = InstancePath> {
    (name(), vec((name(), key()), 0..3)).prop_map(|(class, keys)| {
        let mut path = InstancePath::new(NamespaceName::new("root/a"), class);
        for (name, value) in keys {
            if path.key(name.as_str()).is_none() {
                path = path.with_key(name, value);
            }
        }
        path
    })
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![3 => key(), 1 => path().prop_map(Value::from)]
}

/// An array of one type with holes, or one value.
fn value() -> impl Strategy<Value = Value> {
    let array = |item: BoxedStrategy<Value>| vec(option::of(item), 1..4).prop_map(Value::Array);
    prop_oneof![
        4 => scalar(),
        1 => array(text().prop_map(Value::String).boxed()),
        1 => array(any::<u64>().prop_map(Value::Uint64).boxed()),
    ]
}

fn typed(name: Name, cim_type: CimType, value: Option<Value>) -> Property {
    let mut property = Property::new(name, cim_type, value);
    property.cim_type = property.value.as_ref().and_then(Value::cim_type).unwrap_or(cim_type);
    property
}

fn instance() -> impl Strategy<Value = Instance> {
    let flat = (name(), vec((name(), option::of(value()), option::of(name()), any::<bool>()), 0..5))
        .prop_map(|(class, properties)| {
            let mut instance = Instance::new(class);
            for (name, value, class_origin, propagated) in properties {
                let property = typed(name, CimType::String, value);
                instance.properties.push(Property { class_origin, propagated, ..property });
            }
            instance
        });
    flat.prop_recursive(3, 8, 2, |inner| {
        (inner.clone(), name(), inner, any::<bool>()).prop_map(|(mut outer, name, inner, object)| {
            let mut property = Property::new(name, CimType::String, Some(Value::Instance(Box::new(inner))));
            property.embedded = Some(if object { Embedded::Object } else { Embedded::Instance });
            outer.properties.push(property);
            outer
        })
    })
}

fn params() -> impl Strategy<Value = Vec<Param>> {
    vec(
        (
            name(),
            option::of(prop_oneof![3 => value(), 1 => instance().prop_map(|i| Value::Instance(Box::new(i)))]),
        ),
        0..4,
    )
    .prop_map(|all| {
        let mut params: Vec<Param> = Vec::new();
        for (name, value) in all {
            if params.iter().any(|p| p.name == name) {
                continue;
            }
            params.push(match value {
                // An array of holes only has no type that could be written.
                Some(value) if value.cim_type().is_some() => Param::new(name, value),
                _ => Param::null(name, CimType::Uint16),
            });
        }
        params
    })
}

fn options() -> impl Strategy<Value = InstanceOptions> {
    (any::<bool>(), option::of(vec(name(), 0..3))).prop_map(|(include_class_origin, property_list)| {
        InstanceOptions { include_class_origin, property_list }
    })
}

fn filter() -> impl Strategy<Value = AssociationFilter> {
    (option::of(name()), option::of(name()), option::of(name()), option::of(name())).prop_map(
        |(assoc_class, result_class, role, result_role)| AssociationFilter {
            assoc_class,
            result_class,
            role,
            result_role,
        },
    )
}

fn open() -> impl Strategy<Value = OpenOptions> {
    (option::of((text(), text())), option::of(any::<u32>()), any::<bool>(), any::<u32>()).prop_map(
        |(filter, operation_timeout, continue_on_error, max_object_count)| OpenOptions {
            filter,
            operation_timeout,
            continue_on_error,
            max_object_count,
        },
    )
}

fn target() -> impl Strategy<Value = ObjectPath> {
    prop_oneof![
        path().prop_map(ObjectPath::Instance),
        name().prop_map(|class| ClassPath::new(NamespaceName::new("root/a"), class).into()),
    ]
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        (path(), options()).prop_map(|(path, options)| Operation::GetInstance { path, options }),
        (name(), any::<bool>(), options()).prop_map(|(class, deep, options)| Operation::EnumerateInstances {
            class,
            deep,
            options
        }),
        instance().prop_map(|instance| Operation::CreateInstance { instance }),
        (instance(), path(), option::of(vec(name(), 0..3))).prop_map(
            |(mut instance, mut path, property_list)| {
                path.class = instance.class.clone();
                instance.path = Some(path);
                Operation::ModifyInstance { instance, property_list }
            }
        ),
        (target(), filter(), options()).prop_map(|(object, filter, options)| Operation::Associators {
            object,
            filter,
            options
        }),
        (path(), filter(), options(), open()).prop_map(|(object, filter, options, open)| {
            Operation::OpenAssociatorInstances { object, filter, options, open }
        }),
        (text(), any::<u32>()).prop_map(|(context, max_object_count)| Operation::Pull {
            kind: PullKind::InstancePaths,
            context,
            max_object_count
        }),
        (target(), name(), params()).prop_map(|(target, method, params)| Operation::InvokeMethod {
            target,
            method,
            params
        }),
    ]
}

fn sent<'a>(method: &'a str, object: &'a str) -> Headers<'a> {
    Headers {
        cim_operation: Some(b"MethodCall"),
        cim_method: Some(method.as_bytes()),
        cim_object: Some(object.as_bytes()),
        ..Headers::default()
    }
}

/// Requests and responses to begin from when breaking things.
fn seeds() -> Vec<String> {
    [
        "m11-start-job.req.xml",
        "i09-create.req.xml",
        "t01-old-client.req.xml",
        "i04-all-types.rsp.xml",
        "s01-get-class.rsp.xml",
    ]
    .map(golden)
    .to_vec()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(192) })]

    #[test]
    fn requests_read_back(operation in operation(), id in text()) {
        let request = Request { namespace: NamespaceName::new("root/a"), operation };
        let (body, headers) = encode_request(&id, &request);
        let message = decode_request(&body, &sent(&headers.cim_method, &headers.cim_object), &Limits::default());
        let message = message.map_err(|e| TestCaseError::fail(e.to_string()))?;
        prop_assert_eq!(message.id, id);
        prop_assert_eq!(message.requests[0].request.as_ref(), Ok(&request));
    }

    #[test]
    fn instances_read_back(instance in instance()) {
        prop_assert_eq!(parse_instance_text(&instance_text(&instance)), Ok(instance));
    }

    #[test]
    fn responses_read_back(items in vec((instance(), path()), 0..3), context in option::of(text()), out in params()) {
        let items: Vec<Instance> = items
            .into_iter()
            .map(|(mut instance, mut path)| {
                path.class = instance.class.clone();
                instance.path = Some(path);
                instance
            })
            .collect();
        let operation = Operation::OpenEnumerateInstances {
            class: "X".into(),
            deep: true,
            options: InstanceOptions::default(),
            open: OpenOptions::default(),
        };
        let set = OperationResult::Pulled { shape: ObjectShape::InstanceWithPath, items, context, query_result_class: None };
        let method = Operation::InvokeMethod {
            target: ClassPath::new(NamespaceName::new("root/a"), "X").into(),
            method: "M".into(),
            params: Vec::new(),
        };
        let returned = OperationResult::Method { return_value: Some(Value::Sint32(-1)), out };
        for (operation, result) in [(operation, set), (method, returned)] {
            let request = Request { namespace: NamespaceName::new("root/a"), operation };
            let intrinsic = !matches!(request.operation, Operation::InvokeMethod { .. });
            let context = EncodeContext { host: "h", namespace: Some(&request.namespace) };
            let name = operation_name(&request.operation);
            let bytes = encode_response("1", name, intrinsic, &Ok(result.clone()), &context);
            let response = decode_response(&bytes, &request, &Limits::default());
            prop_assert_eq!(response.map(|r| r.result), Ok(Ok(result)));
        }
    }

    #[test]
    fn random_bytes_do_not_panic(bytes in vec(any::<u8>(), 0..200)) {
        let _ = decode_request(&bytes, &sent("a", "b"), &Limits::default());
        let _ = parse_instance_text(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn damaged_messages_do_not_panic(
        seed in 0..5usize,
        edits in vec((any::<prop::sample::Index>(), any::<u8>(), 0..4u8), 1..6),
        other in any::<prop::sample::Index>(),
    ) {
        let seeds = seeds();
        let mut bytes = seeds[seed].clone().into_bytes();
        for (at, byte, kind) in edits {
            // The first edit may have taken the last byte.
            if bytes.is_empty() {
                break;
            }
            let at = at.index(bytes.len());
            match kind {
                0 => bytes[at] = byte,
                1 => { bytes.remove(at); }
                // A stretch of another message in the middle of this one.
                2 => {
                    let from = seeds[(seed + 1) % 5].as_bytes();
                    let start = other.index(from.len());
                    let piece: Vec<u8> = from[start..from.len().min(start + 60)].to_vec();
                    bytes.splice(at..at, piece);
                }
                _ => bytes.truncate(at.max(1)),
            }
        }
        let _ = decode_request(&bytes, &sent("CreateInstance", "root/virtualization/v2"), &Limits::default());
        let request = Request { namespace: NamespaceName::new("root/a"), operation: Operation::EnumerateQualifiers };
        let _ = decode_response(&bytes, &request, &Limits::default());
    }
}
