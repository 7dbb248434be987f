//! What a client may change on a job: the properties that the class marks with Write, and nothing else.

use crate::job_instance::Field;
use crate::registry::Dialect;
use cimwright_cim::coerce::{Declared, coerce};
use cimwright_cim::{CimError, CimStatus, Instance, Name, Property, Value};
use cimwright_jobs::record::DEFAULT_PRIORITY;
use cimwright_jobs::{JobRecord, JobSettings};
use std::time::Duration;

/// The settings of the job after ModifyInstance with `wanted` (DSP0200 5.3.2.8).
///
/// `shown` is how the job looks now. A value that equals the present one is never an error, so that a client may send back a
/// whole instance; nor, without a PropertyList, is an old value of a property that moves by itself.
///
/// # Errors
/// CIM_ERR_NO_SUCH_PROPERTY for a property that the class does not have, CIM_ERR_INVALID_PARAMETER for a value that does not
/// fit or a property that cannot be changed.
pub(crate) fn changed(
    dialect: &Dialect,
    record: &JobRecord,
    shown: &Instance,
    wanted: &Instance,
    list: Option<&[Name]>,
) -> Result<JobSettings, CimError> {
    let class = &dialect.class;
    let names: Vec<&Name> = match list {
        Some(list) => list.iter().collect(),
        None => wanted.properties.iter().map(|p| &p.name).collect(),
    };
    let mut settings = record.settings.clone();
    for name in names {
        let Some(declared) = class.property(name.as_str()) else {
            let text = format!("{} has no property {name}", class.name);
            return Err(CimError::new(CimStatus::NoSuchProperty, text));
        };
        let given = match wanted.property(name.as_str()) {
            Some(property) => property.value.clone(),
            // Listed but not given: back to the default of the class.
            None => declared.value.clone(),
        };
        let value = given.map(|v| fit(v, declared)).transpose()?;
        if value.as_ref() == shown.get(name.as_str()) {
            continue;
        }
        let field = dialect.template.field(name).unwrap_or(Field::Result);
        if !declared.is_writable() {
            if list.is_none() && field.moves_by_itself() {
                continue;
            }
            return Err(wrong(&declared.name, "is not writable; the class does not mark it with Write"));
        }
        set(&mut settings, field, &declared.name, value)?;
    }
    Ok(settings)
}

fn set(settings: &mut JobSettings, field: Field, name: &Name, value: Option<Value>) -> Result<(), CimError> {
    let schedule = &mut settings.schedule;
    let number = || value.as_ref().and_then(Value::as_i128);
    let time = || match &value {
        Some(Value::DateTime(time)) => Some(*time),
        _ => None,
    };
    match field {
        Field::TimeBeforeRemoval => settings.time_before_removal = interval(name, value.as_ref())?,
        Field::DeleteOnCompletion => {
            settings.delete_on_completion = value.as_ref().and_then(Value::as_bool).unwrap_or(false);
        }
        Field::Priority => {
            settings.priority = number().and_then(|n| u32::try_from(n).ok()).unwrap_or(DEFAULT_PRIORITY);
        }
        Field::Notify => settings.notify = value.as_ref().and_then(Value::as_str).map(str::to_owned),
        Field::ScheduledStartTime => schedule.scheduled_start_time = time(),
        Field::JobRunTimes => {
            schedule.job_run_times = number().and_then(|n| u32::try_from(n).ok()).unwrap_or(1);
        }
        Field::RunMonth => schedule.run_month = ranged(name, number(), 0, 11)?,
        Field::RunDay => schedule.run_day = ranged(name, number(), -31, 31)?,
        Field::RunDayOfWeek => schedule.run_day_of_week = ranged(name, number(), -7, 7)?,
        Field::RunStartInterval => {
            if value.is_some() {
                interval(name, value.as_ref())?;
            }
            schedule.run_start_interval = time();
        }
        Field::LocalOrUtcTime => schedule.local_or_utc_time = ranged(name, number(), 1, 2)?,
        Field::UntilTime => schedule.until_time = time(),
        _ => return Err(wrong(name, "is not writable on this server")),
    }
    Ok(())
}

fn fit(value: Value, declared: &Property) -> Result<Value, CimError> {
    let shape =
        Declared { cim_type: declared.cim_type, is_array: declared.is_array, embedded: declared.embedded };
    coerce(value, shape, &|_| Err("jobs have no such property".to_owned())).map_err(|mismatch| {
        CimError::invalid_parameter(format!("the property {}: {mismatch}", declared.name))
    })
}

fn interval(name: &Name, value: Option<&Value>) -> Result<Duration, CimError> {
    match value {
        Some(Value::DateTime(time)) => time
            .to_duration()
            .ok_or_else(|| wrong(name, "must be an interval, as 00000000000500.000000:000 for five minutes")),
        _ => Err(wrong(name, "must not be NULL")),
    }
}

fn ranged<N: TryFrom<i128>>(
    name: &Name,
    number: Option<i128>,
    low: i128,
    high: i128,
) -> Result<Option<N>, CimError> {
    let Some(number) = number else { return Ok(None) };
    let fits = (low..=high).contains(&number).then(|| N::try_from(number).ok()).flatten();
    fits.map(Some).ok_or_else(|| wrong(name, &format!("must be between {low} and {high}")))
}

fn wrong(name: &Name, what: &str) -> CimError {
    CimError::invalid_parameter(format!("the property {name} {what}"))
}
