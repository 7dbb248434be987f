//! A client and what the command line says about how to use it.

use crate::args::ConnectArgs;
use crate::exit::{CliError, Exit};
use cimwright_cim::{CimStatus, InstancePath, NamespaceName, ObjectPath};
use cimwright_client::job::{Finder, JobHandle, ambiguous_text};
use cimwright_client::{Client, ClientError};
use cimwright_codec::uri;

/// The names under which servers describe themselves (DSP1033).
pub(crate) const INTEROP: [&str; 3] = ["root/interop", "interop", "root/PG_InterOp"];

/// A connection to a server, with the namespaces the user named.
pub(crate) struct Session {
    /// The way to the server.
    pub(crate) client: Client,
    /// The namespaces named on the command line; empty for the known ones.
    pub(crate) namespaces: Vec<NamespaceName>,
    /// Whether results are to be JSON.
    pub(crate) json: bool,
}

impl Session {
    /// Connects to the server that the options name.
    pub(crate) async fn open(args: &ConnectArgs) -> Result<Self, CliError> {
        let namespaces =
            args.namespace.iter().filter(|n| !n.trim().is_empty()).map(NamespaceName::new).collect();
        let client = Client::connect(args.endpoint()?).await?;
        Ok(Self { client, namespaces, json: args.json })
    }

    /// Looks for jobs.
    pub(crate) fn finder(&self) -> Finder<'_> {
        Finder::new(&self.client, &self.namespaces)
    }

    /// The one job that `text` means.
    pub(crate) async fn job(&self, text: &str) -> Result<JobHandle<'_>, CliError> {
        match self.try_job(text, self.finder()).await? {
            Some(job) => Ok(job),
            None => Err(self.no_job(text)),
        }
    }

    /// The one job that `text` means among those that `finder` sees.
    pub(crate) async fn try_job<'c>(
        &'c self,
        text: &str,
        finder: Finder<'c>,
    ) -> Result<Option<JobHandle<'c>>, CliError> {
        if text.trim().is_empty() {
            return Err(CliError::usage("the job has no name").advise("`cimwright jobs` lists the jobs"));
        }
        let mut found = finder.find(text.trim()).await?;
        match found.len() {
            0 => Ok(None),
            1 => Ok(found.pop()),
            _ => Err(CliError::usage(ambiguous_text(text, &found)).advise("give more of the InstanceID")),
        }
    }

    /// That there is no such job.
    pub(crate) fn no_job(&self, text: &str) -> CliError {
        let searched: Vec<String> = self.finder().namespaces().iter().map(ToString::to_string).collect();
        CliError::new(Exit::NotFound, format!("there is no job \"{text}\" in {}", searched.join(", "))).advise(
            "`cimwright jobs` lists the jobs, `cimwright jobs --history` those that have left; --namespace looks elsewhere",
        )
    }

    /// The object that a text on the command line means. A path without namespace is taken to be in the first namespace, of those
    /// named or known, that has its class.
    pub(crate) async fn object(&self, text: &str) -> Result<ObjectPath, CliError> {
        let mut path = uri::parse(text).map_err(|e| {
            CliError::usage(e.to_string())
                .advise("write a class (Msvm_StorageJob) or a path: root/virtualization/v2:Msvm_StorageJob.InstanceID=\"…\"")
        })?;
        if path.namespace().is_none() {
            let namespace = self.namespace_with(path.class().as_str()).await?;
            match &mut path {
                ObjectPath::Class(path) => path.namespace = Some(namespace),
                ObjectPath::Instance(path) => path.namespace = Some(namespace),
            }
        }
        Ok(path)
    }

    /// The first namespace, of those named or known or else of all the server has, that has a class.
    pub(crate) async fn namespace_with(&self, class: &str) -> Result<NamespaceName, CliError> {
        let finder = self.finder();
        let namespaces = finder.namespaces();
        if let [only] = namespaces {
            return Ok(only.clone());
        }
        let mut last = None;
        for namespace in namespaces {
            match self.client.get_class(namespace, class).await {
                Ok(_) => return Ok(namespace.clone()),
                Err(e) if e.is_not_found() || e.is_unsupported() => last = Some(e),
                Err(e) => return Err(e.into()),
            }
        }
        if self.namespaces.is_empty() {
            for namespace in self.described_namespaces().await? {
                if !namespaces.contains(&namespace) && self.client.get_class(&namespace, class).await.is_ok()
                {
                    return Ok(namespace);
                }
            }
        }
        let searched: Vec<String> = namespaces.iter().map(ToString::to_string).collect();
        let reason = last.map_or_else(String::new, |e| format!(": {e}"));
        Err(CliError::new(Exit::NotFound, format!("no class {class} in {}{reason}", searched.join(", ")))
            .advise("name the namespace with --namespace, or in the path: root/cimv2:Class"))
    }

    /// The namespaces of the server: those it describes, or of the known ones those it has.
    pub(crate) async fn all_namespaces(&self) -> Result<Vec<NamespaceName>, CliError> {
        let mut found = self.described_namespaces().await?;
        if found.is_empty() {
            for namespace in self.finder().namespaces() {
                let class = Some("CIM_ConcreteJob");
                match self.client.enumerate_class_names(namespace, class).await {
                    Err(e) if e.status() == Some(CimStatus::InvalidNamespace) => {}
                    Ok(_) | Err(ClientError::Cim(_)) => found.push(namespace.clone()),
                    Err(e) => return Err(e.into()),
                }
            }
        }
        if found.is_empty() {
            return Err(CliError::new(Exit::NotFound, "the server does not tell its namespaces")
                .advise("name one with --namespace"));
        }
        found.sort_by_key(|name| name.as_str().to_ascii_lowercase());
        Ok(found)
    }

    /// The namespaces that the server describes in its interop namespace (CIM_Namespace, or __Namespace as some have it). None is
    /// no error: an old server describes nothing.
    async fn described_namespaces(&self) -> Result<Vec<NamespaceName>, CliError> {
        for interop in INTEROP {
            let interop = NamespaceName::new(interop);
            let mut found = vec![interop.clone()];
            for class in ["CIM_Namespace", "__Namespace"] {
                let paths = match self.client.enumerate_instance_names(&interop, class).await {
                    Ok(paths) => paths,
                    Err(ClientError::Cim(_)) => continue,
                    Err(e) => return Err(e.into()),
                };
                for name in paths.iter().filter_map(|path| path.key_str("Name")).map(NamespaceName::new) {
                    if !found.contains(&name) {
                        found.push(name);
                    }
                }
            }
            if found.len() > 1 {
                return Ok(found);
            }
        }
        Ok(Vec::new())
    }
}

/// The text of an instance path.
pub(crate) fn path_text(path: &InstancePath) -> String {
    uri::to_text(&ObjectPath::Instance(InstancePath { host: None, ..path.clone() }))
}
