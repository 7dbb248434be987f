//! `cimwright invoke`

use super::{watch, why};
use crate::args::ConnectArgs;
use crate::exit::{CliError, Exit, remark, say};
use crate::render::text::{clean, clean_line};
use crate::render::{instance, json};
use crate::session::{Session, path_text};
use crate::values::{Literal, Untyped, assignment, typed_params, untyped_params};
use cimwright_cim::{Catalogue, Class, ClassName, NamespaceName, ObjectPath, Param};
use cimwright_client::job::{JobHandle, usual_meaning};
use cimwright_client::{ClientError, MethodAnswer, meaning};
use std::collections::HashMap;

/// The return value of a method that started a job.
const JOB_STARTED: i128 = 4096;

/// Call a method, and follow the job it starts
///
/// Parameters are written Name=value; their types come from the class. [a, b] is an array, {Class: Prop=value, …} or JSON with
/// "$class" an embedded instance, @FILE the text of a file.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The object: a path, or a class whose only instance is meant (or the class itself, if the method is static)
    object: String,

    /// The method
    method: String,

    /// Parameters
    #[arg(value_name = "NAME=VALUE")]
    parameters: Vec<String>,

    /// Follow the job that the method starts; the exit code is then that of the job
    #[arg(long)]
    wait: bool,

    #[command(flatten)]
    connect: ConnectArgs,
}

/// Runs the command.
pub(crate) async fn run(args: Args, catalogues: &[&Catalogue]) -> Result<Exit, CliError> {
    let given = args.parameters.iter().map(|p| assignment(p)).collect::<Result<Vec<_>, _>>()?;
    let session = Session::open(&args.connect).await?;
    let target = session.object(&args.object).await?;
    let namespace = target.namespace().cloned().unwrap_or_else(|| NamespaceName::new(""));
    let class = match session.client.get_class(&namespace, target.class().as_str()).await {
        Ok(class) => Some(class),
        Err(e) if e.status() == Some(cimwright_cim::CimStatus::NotSupported) => None,
        Err(e) => return Err(e.into()),
    };
    let target = the_object(&session, target, class.as_ref(), &args.method).await?;
    let params = params(&session, &given, class.as_ref(), &args.method, &namespace).await?;
    let answer = session.client.invoke(&target, &args.method, params).await?;
    show(&session, &answer, class.as_ref(), &args.method, args.wait)?;

    let job = answer.job().map(|path| JobHandle::new(&session.client, path.clone()));
    match (answer.code(), job) {
        (Some(JOB_STARTED), Some(job)) if args.wait => told_to_the_end(&session, &job, catalogues).await,
        (Some(JOB_STARTED), Some(job)) => {
            let id = job.path().key_str("InstanceID").unwrap_or_default();
            remark(&format!("`cimwright watch {id}` follows the job."));
            Ok(Exit::Ok)
        }
        (None | Some(0 | JOB_STARTED), _) => Ok(Exit::Ok),
        (Some(_), Some(job)) => {
            told_why(&session, &job, catalogues).await?;
            Ok(Exit::Unsuccessful)
        }
        (Some(_), None) => Ok(Exit::Unsuccessful),
    }
}

/// The object to call: a class stands for its only instance unless the method is static.
async fn the_object(
    session: &Session,
    target: ObjectPath,
    class: Option<&Class>,
    method: &str,
) -> Result<ObjectPath, CliError> {
    let ObjectPath::Class(path) = &target else { return Ok(target) };
    if class.and_then(|c| c.method(method)).is_some_and(|m| m.is_static()) {
        return Ok(target);
    }
    let Some(namespace) = &path.namespace else { return Ok(target) };
    let mut found = session.client.enumerate_instance_names(namespace, path.class.as_str()).await?;
    match found.len() {
        1 => Ok(ObjectPath::Instance(found.remove(0))),
        0 => Err(CliError::new(Exit::NotFound, format!("{} has no instance in {namespace}", path.class))),
        n => {
            let some: Vec<String> = found.iter().take(5).map(path_text).collect();
            Err(CliError::usage(format!("{} has {n} instances:\n  {}", path.class, some.join("\n  ")))
                .advise("name the one to call by its path"))
        }
    }
}

/// The parameters, typed by the class where the server tells it.
async fn params(
    session: &Session,
    given: &[(String, Literal)],
    class: Option<&Class>,
    method: &str,
    namespace: &NamespaceName,
) -> Result<Vec<Param>, CliError> {
    let Some(class) = class else { return untyped_params(given).map_err(CliError::usage) };
    let Some(declared) = class.method(method) else {
        let names: Vec<&str> = class.methods.iter().map(|m| m.name.as_str()).collect();
        let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        return Err(CliError::usage(format!("{} has no method {method}; it has {names}", class.name)));
    };
    let mut classes: HashMap<ClassName, Class> = HashMap::new();
    loop {
        match typed_params(given, declared, namespace, &classes) {
            Ok(params) => return Ok(params),
            Err(Untyped::Wrong(reason)) => return Err(CliError::usage(reason)),
            Err(Untyped::Needs(name)) => {
                let mut needed =
                    session.client.get_class(namespace, name.as_str()).await.map_err(|e| match e {
                        ClientError::Cim(_) => {
                            CliError::usage(format!("{namespace} has no class {name}: {e}"))
                        }
                        other => other.into(),
                    })?;
                // Stored under the name that was asked for, so that it is found again whatever the server calls it.
                needed.name = name.clone();
                classes.insert(name, needed);
            }
        }
    }
}

fn show(
    session: &Session,
    answer: &MethodAnswer,
    class: Option<&Class>,
    method: &str,
    wait: bool,
) -> Result<(), CliError> {
    let declared = class.and_then(|c| c.method(method));
    let told = answer
        .code()
        .and_then(|code| declared.and_then(|m| meaning(&m.qualifiers, code)).or_else(|| usual_meaning(code)));
    if session.json {
        let out: serde_json::Map<String, serde_json::Value> =
            answer.out.iter().map(|p| (p.name.to_string(), json::value(p.value.as_ref()))).collect();
        let whole = serde_json::json!({
            "returnValue": json::value(answer.return_value.as_ref()),
            "meaning": told,
            "out": out,
        });
        // With --wait more objects follow, one a line.
        return say(&if wait { whole.to_string() } else { json::pretty(&whole) });
    }
    let code = instance::value_text(answer.return_value.as_ref());
    say(&clean_line(&match told {
        Some(told) => format!("{code} ({told})"),
        None => code,
    }))?;
    for param in &answer.out {
        say(&clean(&format!("{} = {}", param.name, instance::value_text(param.value.as_ref()))))?;
    }
    Ok(())
}

/// Follows a job to its end, and tells how it ended: if it failed, with all there is to say.
pub(crate) async fn told_to_the_end(
    session: &Session,
    job: &JobHandle<'_>,
    catalogues: &[&Catalogue],
) -> Result<Exit, CliError> {
    let last = watch::to_the_end(session, job).await?;
    // Why it failed begins with how it ended.
    if last.state.is_success() || session.json || !told_why(session, job, catalogues).await? {
        return watch::finish(session, &last);
    }
    Ok(Exit::Unsuccessful)
}

/// Tells why a job failed; in the history too, if it has left already. `false` if it is in neither.
pub(crate) async fn told_why(
    session: &Session,
    job: &JobHandle<'_>,
    catalogues: &[&Catalogue],
) -> Result<bool, CliError> {
    say("")?;
    match why::tell(session, job, false, catalogues).await {
        Ok(_) => Ok(true),
        Err(e) if e.exit == Exit::NotFound => {
            let id = job.path().key_str("InstanceID").unwrap_or_default().to_owned();
            match session.try_job(&id, session.finder().in_history()).await? {
                Some(past) => why::tell(session, &past, true, catalogues).await.map(|_| true),
                None => Ok(false),
            }
        }
        Err(e) => Err(e),
    }
}
