//! `cimwright mof load`

use super::LoadArgs;
use super::files::Files;
use crate::commands::class::declarations;
use crate::exit::{CliError, Exit, say};
use crate::session::{INTEROP, Session, path_text};
use cimwright_cim::operation::ClassOptions;
use cimwright_cim::{
    CimStatus, Class, Instance, NamespaceName, Operation, OperationResult, QualifierDeclaration, Request,
    Schema,
};
use cimwright_client::ClientError;
use cimwright_codec::mof::{Compiled, Options, Schemas, compile_for};
use std::collections::HashSet;

/// What the files add to a namespace.
struct Additions {
    namespace: NamespaceName,
    qualifiers: Vec<QualifierDeclaration>,
    classes: Vec<Class>,
    instances: Vec<Instance>,
}

/// Runs the command.
pub(super) async fn run(args: LoadArgs) -> Result<Exit, CliError> {
    let files = Files::read(&args.compile.files)?;
    let session = Session::open(&args.connect).await?;
    let [namespace] = &session.namespaces[..] else {
        return Err(CliError::usage("mof load needs one namespace").advise("name it with --namespace"));
    };
    let options = Options { default_namespace: namespace.clone(), strict: args.compile.strict };
    let common = super::common()?;
    let known = Known { session: &session, common: &common, missing_is_empty: args.create_namespace };
    let (Before { schemas: before, exist: before_exists }, mut after, compiled) =
        match known.compiled(&files, &options).await? {
            Ok(result) => result,
            Err(findings) => {
                super::report(&findings);
                return Ok(Exit::Unsuccessful);
            }
        };
    super::report(&compiled.warnings);
    if args.compile.deny_warnings && !compiled.warnings.is_empty() {
        return Ok(Exit::Unsuccessful);
    }
    let mut instances = compiled.instances;
    let empty = Schema::new();
    for (namespace, schema) in std::mem::take(&mut after) {
        let old = before.get(&namespace).unwrap_or(&empty);
        let (mine, others) = instances.into_iter().partition(|(of, _)| *of == namespace);
        instances = others;
        let additions = Additions {
            qualifiers: schema
                .qualifiers()
                .filter(|q| old.qualifier(q.name.as_str()) != Some(q))
                .cloned()
                .collect(),
            classes: schema
                .class_names()
                .iter()
                .filter(|name| !old.contains(name.as_str()))
                .filter_map(|name| schema.declared(name.as_str()).map(|class| Class::clone(class)))
                .collect(),
            instances: mine.into_iter().map(|(_, instance): (NamespaceName, Instance)| instance).collect(),
            namespace,
        };
        if !args.dry_run {
            if args.create_namespace && !before_exists.contains(&additions.namespace) {
                create_namespace(&session, &additions.namespace).await?;
            }
            additions.send(&session).await?;
        }
        let verb = if args.dry_run { "would be loaded into" } else { "loaded into" };
        say(&format!(
            "{} qualifier declarations, {} classes, {} instances {verb} {}",
            additions.qualifiers.len(),
            additions.classes.len(),
            additions.instances.len(),
            additions.namespace
        ))?;
    }
    Ok(Exit::Ok)
}

/// What the server has before anything is sent.
struct Before {
    schemas: Schemas,
    /// The namespaces that exist.
    exist: HashSet<NamespaceName>,
}

type Outcome = Result<(Before, Schemas, Compiled), Vec<cimwright_codec::mof::Diagnostic>>;

/// What counts as declared.
struct Known<'s> {
    session: &'s Session,
    /// The qualifiers that need no declaration.
    common: &'s Schema,
    /// A namespace that the server does not have is an empty one.
    missing_is_empty: bool,
}

impl Known<'_> {
    /// The schemas before and after, and what else came of the files. A namespace that only a pragma names is known after a first
    /// look, so the files are compiled once more with its classes.
    async fn compiled(&self, files: &Files, options: &Options) -> Result<Outcome, CliError> {
        let mut before = Before { schemas: Schemas::new(), exist: HashSet::new() };
        let mut wanted = vec![options.default_namespace.clone()];
        loop {
            for namespace in wanted.drain(..) {
                let schema = self.schema_of(&namespace).await?;
                if schema.is_some() {
                    before.exist.insert(namespace.clone());
                }
                before.schemas.insert(namespace, schema.unwrap_or_default());
            }
            let mut after = before.schemas.clone();
            let result = compile_for(&files.sources, files, &mut after, options, Some(self.common));
            wanted.extend(after.keys().filter(|n| !before.schemas.contains_key(*n)).cloned());
            if wanted.is_empty() {
                return Ok(result.map(|compiled| (before, after, compiled)));
            }
        }
    }

    /// What the server has in a namespace; `None` if it does not have the namespace and that is no matter.
    async fn schema_of(&self, namespace: &NamespaceName) -> Result<Option<Schema>, CliError> {
        let options = ClassOptions {
            local_only: true,
            include_qualifiers: true,
            include_class_origin: true,
            property_list: None,
        };
        let operation = Operation::EnumerateClasses { class: None, deep: true, options };
        let request = Request { namespace: namespace.clone(), operation };
        let mut waiting = match self.session.client.execute(&request).await {
            Ok(OperationResult::Classes(classes)) => classes,
            Ok(_) => Vec::new(),
            Err(ClientError::Cim(e)) if e.status == CimStatus::InvalidNamespace && self.missing_is_empty => {
                return Ok(None);
            }
            Err(e) => {
                let missing = e.status() == Some(CimStatus::InvalidNamespace);
                let mut error = CliError::from(e);
                if missing {
                    error.advice = Some("--create-namespace makes it".to_owned());
                }
                return Err(error);
            }
        };
        let mut schema = declarations(self.session, namespace).await.unwrap_or_default();
        waiting.iter_mut().for_each(own);
        // Superclass first; what never finds its superclass is not there for us either.
        loop {
            let before = waiting.len();
            let mut rest = Vec::new();
            for class in waiting {
                match &class.superclass {
                    Some(superclass) if !schema.contains(superclass.as_str()) => rest.push(class),
                    _ => schema.add_class(class).map_err(|e| {
                        CliError::new(Exit::Trouble, format!("{namespace} has a class that cannot be: {e}"))
                    })?,
                }
            }
            if rest.is_empty() || rest.len() == before {
                return Ok(Some(schema));
            }
            waiting = rest;
        }
    }
}

/// Makes a namespace: an instance of CIM_Namespace in the namespace by which the server describes itself.
async fn create_namespace(session: &Session, namespace: &NamespaceName) -> Result<(), CliError> {
    let instance = Instance::new("CIM_Namespace").with("Name", namespace.as_str());
    let mut refusal = None;
    for interop in INTEROP {
        match session.client.create_instance(&NamespaceName::new(interop), instance.clone()).await {
            Ok(_) => return Ok(()),
            Err(ClientError::Cim(e)) if e.status == CimStatus::InvalidNamespace => {}
            Err(e) => refusal = Some(e),
        }
    }
    Err(match refusal {
        Some(e) => refused(&format!("the namespace {namespace}"), e),
        None => {
            CliError::new(Exit::Refused, "the server has no namespace that describes it, so none can be made")
        }
    })
}

/// Leaves what the class itself declares: not every server knows LocalOnly. What is left looks as if it had just been compiled.
pub(super) fn own(class: &mut Class) {
    class.properties.retain(|p| !p.propagated);
    class.methods.retain(|m| !m.propagated);
    class.qualifiers.retain(|q| !q.propagated);
    for property in &mut class.properties {
        property.qualifiers.retain(|q| !q.propagated);
        property.class_origin = None;
    }
    for method in &mut class.methods {
        method.qualifiers.retain(|q| !q.propagated);
        method.class_origin = None;
        for parameter in &mut method.parameters {
            parameter.qualifiers.retain(|q| !q.propagated);
        }
    }
}

impl Additions {
    async fn send(&self, session: &Session) -> Result<(), CliError> {
        let (client, namespace) = (&session.client, &self.namespace);
        for declaration in &self.qualifiers {
            client
                .set_qualifier(namespace, declaration.clone())
                .await
                .map_err(|e| refused(&format!("the qualifier {}", declaration.name), e))?;
        }
        for class in &self.classes {
            client
                .create_class(namespace, class.clone())
                .await
                .map_err(|e| refused(&format!("the class {}", class.name), e))?;
        }
        for instance in &self.instances {
            let path = instance.path.as_ref().map(path_text).unwrap_or_else(|| instance.class.to_string());
            match client.create_instance(namespace, Instance { path: None, ..instance.clone() }).await {
                Ok(_) => {}
                // Loading twice is the same as once.
                Err(ClientError::Cim(e))
                    if e.status == CimStatus::AlreadyExists && instance.path.is_some() =>
                {
                    client
                        .modify_instance(without_keys(instance, namespace))
                        .await
                        .map_err(|e| refused(&format!("the instance {path}"), e))?;
                }
                Err(e) => return Err(refused(&format!("the instance {path}"), e)),
            }
        }
        Ok(())
    }
}

/// The instance as ModifyInstance takes it: keys cannot change.
fn without_keys(instance: &Instance, namespace: &NamespaceName) -> Instance {
    let mut instance = instance.clone();
    if let Some(path) = &mut instance.path {
        path.namespace.get_or_insert_with(|| namespace.clone());
        let keys: Vec<_> = path.keys.iter().map(|key| key.name.clone()).collect();
        instance.properties.retain(|p| !keys.contains(&p.name));
    }
    instance
}

/// The server's refusal, and of what. What was sent before stays.
fn refused(what: &str, error: ClientError) -> CliError {
    let mut error = CliError::from(error);
    error.message = format!("the server does not take {what}: {}", error.message);
    error.advice.get_or_insert_with(|| "what comes before it in the files has been loaded".to_owned());
    error
}
