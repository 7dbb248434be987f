//! Pulled enumerations.

use crate::model::{affected, affected_path, ask, file_path, job, job_path, path_only, with_path};
use crate::{Case, case};
use cimwright_cim::operation::{AssociationFilter, InstanceOptions, ObjectShape, OpenOptions, PullKind};
use cimwright_cim::{
    CimError, CimStatus, CimType, Class, Instance, Operation, OperationResult, Property, Value,
};

fn pulled(
    shape: ObjectShape,
    items: Vec<Instance>,
    context: Option<&str>,
) -> Result<OperationResult, CimError> {
    Ok(OperationResult::Pulled {
        shape,
        items,
        context: context.map(str::to_owned),
        query_result_class: None,
    })
}

fn wql(text: &str) -> cimwright_cim::query::Query {
    cimwright_codec::query::parse("WQL", text).expect("a query")
}

pub(crate) fn cases() -> Vec<Case> {
    use ObjectShape::{InstancePath, InstanceWithPath};
    let open = |open| {
        ask(Operation::OpenEnumerateInstances {
            class: "CIM_ConcreteJob".into(),
            deep: false,
            options: InstanceOptions {
                include_class_origin: true,
                property_list: Some(vec!["InstanceID".into()]),
            },
            open,
        })
    };
    let pull =
        |kind, max_object_count| ask(Operation::Pull { kind, context: "cw:1;<a>".into(), max_object_count });
    let one = || OpenOptions { max_object_count: 1, ..OpenOptions::default() };
    let filter =
        || AssociationFilter { role: Some("AffectingElement".into()), ..AssociationFilter::default() };
    let job_with_path = || vec![with_path(job(), job_path())];
    let no_objects = InstanceOptions::default;
    let mut result_class = Class::new("CIM_QueryResult");
    result_class.properties.push(Property::new("JobState", CimType::Uint16, None));
    let row = Instance::new("CIM_QueryResult").with("JobState", Value::Uint16(10));
    vec![
        case(
            "p01-open-first-portion",
            open(one()),
            pulled(InstanceWithPath, job_with_path(), Some("cw:1;<a>")),
        ),
        case(
            "p02-pull-last-portion",
            pull(PullKind::InstancesWithPath, 10),
            pulled(InstanceWithPath, job_with_path(), None),
        ),
        case(
            "p03-open-only",
            open(OpenOptions::default()),
            pulled(InstanceWithPath, Vec::new(), Some("cw:2")),
        ),
        case(
            "p04-close",
            ask(Operation::CloseEnumeration { context: "cw:2".into() }),
            Ok(OperationResult::Void),
        ),
        case(
            "p05-pull-after-close",
            pull(PullKind::InstancesWithPath, 0),
            Err(CimError::new(CimStatus::InvalidEnumerationContext, "")),
        ),
        case(
            "p06-timeout-refused",
            open(OpenOptions { operation_timeout: Some(0), ..one() }),
            Err(CimError::new(CimStatus::InvalidOperationTimeout, "0 asks for ever")),
        ),
        case(
            "p07-continue-on-error-refused",
            open(OpenOptions { continue_on_error: true, ..one() }),
            Err(CimError::new(CimStatus::ContinuationOnErrorNotSupported, "")),
        ),
        case(
            "p08-filter-refused",
            open(OpenOptions { filter: Some(("DMTF:FQL".into(), "JobState < 7".into())), ..one() }),
            Err(CimError::new(CimStatus::FilteredEnumerationNotSupported, "")),
        ),
        case(
            "p09-open-paths",
            ask(Operation::OpenEnumerateInstancePaths {
                class: "CIM_ConcreteJob".into(),
                open: OpenOptions { operation_timeout: Some(60), ..one() },
            }),
            pulled(InstancePath, vec![path_only(job_path())], Some("cw:3")),
        ),
        case(
            "p10-pull-paths",
            pull(PullKind::InstancePaths, u32::MAX),
            pulled(InstancePath, vec![path_only(job_path()), path_only(file_path())], None),
        ),
        case(
            "p11-open-associators",
            ask(Operation::OpenAssociatorInstances {
                object: job_path(),
                filter: AssociationFilter {
                    assoc_class: Some("CIM_AffectedJobElement".into()),
                    result_class: Some("CIM_LogicalFile".into()),
                    result_role: Some("AffectedElement".into()),
                    ..filter()
                },
                options: no_objects(),
                open: one(),
            }),
            pulled(InstanceWithPath, vec![with_path(Instance::new("CIM_LogicalFile"), file_path())], None),
        ),
        case(
            "p12-open-associator-paths",
            ask(Operation::OpenAssociatorInstancePaths { object: job_path(), filter: filter(), open: one() }),
            pulled(InstancePath, vec![path_only(file_path())], None),
        ),
        case(
            "p13-open-references",
            ask(Operation::OpenReferenceInstances {
                object: job_path(),
                filter: filter(),
                options: no_objects(),
                open: one(),
            }),
            pulled(InstanceWithPath, vec![with_path(affected(), affected_path())], None),
        ),
        case(
            "p14-open-reference-paths",
            ask(Operation::OpenReferenceInstancePaths { object: job_path(), filter: filter(), open: one() }),
            pulled(InstancePath, vec![path_only(affected_path())], None),
        ),
        case(
            "p18-query",
            ask(Operation::ExecQuery { query: wql("SELECT * FROM CIM_ConcreteJob WHERE JobState < 11") }),
            Ok(OperationResult::Instances { shape: ObjectShape::Object, items: vec![job()] }),
        ),
        case(
            "p19-query-invalid",
            ask(Operation::ExecQuery { query: wql("SELECT NoSuchThing FROM CIM_ConcreteJob") }),
            Err(CimError::new(CimStatus::InvalidQuery, "CIM_ConcreteJob has no property NoSuchThing")),
        ),
        case(
            "p20-open-query",
            ask(Operation::OpenQueryInstances {
                query: wql("SELECT JobState FROM CIM_ConcreteJob WHERE Caption LIKE 'Convert%'"),
                return_query_result_class: true,
                open: one(),
            }),
            Ok(OperationResult::Pulled {
                shape: ObjectShape::Instance,
                items: vec![row.clone()],
                context: Some("cw:4".into()),
                query_result_class: Some(Box::new(result_class)),
            }),
        ),
        case("p15-pull-rows", pull(PullKind::Instances, 1), pulled(ObjectShape::Instance, vec![row], None)),
        case(
            "p16-count",
            ask(Operation::EnumerationCount { context: "cw:3".into() }),
            Ok(OperationResult::Count(Some(u64::MAX))),
        ),
        case(
            "p17-count-unknown",
            ask(Operation::EnumerationCount { context: "cw:3".into() }),
            Ok(OperationResult::Count(None)),
        ),
    ]
}
