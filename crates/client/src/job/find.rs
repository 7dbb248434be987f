//! Finding a job by its path, its InstanceID or the beginning of one, in all namespaces that may hold it.

use super::{JobHandle, JobSnapshot, instance_id, is_absent};
use crate::client::Client;
use crate::error::ClientError;
use crate::wire;
use cimwright_cim::query::{Comparison, Condition, Pattern, PatternPart, PropertyPath, Query};
use cimwright_cim::{CimStatus, Instance, InstancePath, NamespaceName, ObjectPath};

/// Where jobs live on the servers this client knows: Hyper-V's two namespaces and Storage Replica's.
pub const KNOWN_NAMESPACES: [&str; 3] =
    ["root/virtualization/v2", "root/virtualization", "root/microsoft/windows/storagereplica"];

/// Cimwright's class of the jobs that have left their namespace.
const HISTORY: &str = "Cimwright_JobHistory";

/// Looks for instances of a job class in several namespaces.
pub struct Finder<'c> {
    client: &'c Client,
    namespaces: Vec<NamespaceName>,
    class: &'static str,
}

impl<'c> Finder<'c> {
    /// Looks for jobs in these namespaces, or in the known ones if there are none.
    pub fn new(client: &'c Client, namespaces: &[NamespaceName]) -> Self {
        let namespaces = if namespaces.is_empty() {
            KNOWN_NAMESPACES.map(NamespaceName::new).to_vec()
        } else {
            namespaces.to_vec()
        };
        Self { client, namespaces, class: "CIM_ConcreteJob" }
    }

    /// The same, among the jobs that have left the namespace: Cimwright's own class of ended jobs.
    #[must_use]
    pub fn in_history(mut self) -> Self {
        self.class = HISTORY;
        self
    }

    /// The namespaces that are searched.
    pub fn namespaces(&self) -> &[NamespaceName] {
        &self.namespaces
    }

    /// The jobs that `text` can mean: the one with this path or InstanceID, else all whose InstanceID begins with it. A job that
    /// several namespaces show is listed once, for the first of them.
    ///
    /// # Errors
    /// See [`ClientError`]. A namespace or class that does not exist is no error; not finding anything is an empty list.
    pub async fn find(&self, text: &str) -> Result<Vec<JobHandle<'c>>, ClientError> {
        let path = as_path(text);
        let id = match &path {
            // A job that has left is no longer what its path says; its InstanceID stays.
            Some(path) if self.class == HISTORY && !path.class.is(HISTORY) => path.key_str("InstanceID"),
            Some(path) => return self.by_path(path).await,
            None => Some(text),
        };
        let Some(text) = id else { return Ok(Vec::new()) };
        for exact in [true, false] {
            let mut found: Vec<InstancePath> = Vec::new();
            for namespace in &self.namespaces {
                for path in self.matching(namespace, text, exact).await? {
                    if !found.iter().any(|f| f.key_str("InstanceID") == path.key_str("InstanceID")) {
                        found.push(path);
                    }
                }
                if exact && !found.is_empty() {
                    break;
                }
            }
            if !found.is_empty() {
                return Ok(found.into_iter().map(|path| JobHandle::new(self.client, path)).collect());
            }
        }
        Ok(Vec::new())
    }

    /// Every job, each once, in portions, with all properties or some; `look` is called for each one and may end the search by
    /// returning false.
    ///
    /// # Errors
    /// See [`ClientError`]; when none of the namespaces exists, the server's own words about the first.
    pub async fn list(
        &self,
        properties: Option<&[&str]>,
        mut look: impl FnMut(JobSnapshot) -> bool,
    ) -> Result<(), ClientError> {
        let mut seen = std::collections::HashSet::new();
        let mut absent = None;
        let mut present = false;
        'namespaces: for namespace in &self.namespaces {
            let mut jobs = self.client.open_instances(namespace, self.class, properties, 500);
            loop {
                let portion = match jobs.next().await {
                    Ok(Some(portion)) => portion,
                    Ok(None) => break,
                    Err(e) if is_absent(&e) => {
                        absent.get_or_insert(e);
                        continue 'namespaces;
                    }
                    Err(e) => return Err(e),
                };
                for instance in portion {
                    let job = JobSnapshot::of(instance);
                    if seen.insert(job.instance_id.clone()) && !look(job) {
                        let _ = jobs.close().await;
                        return Ok(());
                    }
                }
            }
            present = true;
        }
        match absent {
            Some(error) if !present => Err(error),
            _ => Ok(()),
        }
    }

    /// The job with this path. A path without namespace is looked for in all of them.
    async fn by_path(&self, path: &InstancePath) -> Result<Vec<JobHandle<'c>>, ClientError> {
        let namespaces = match &path.namespace {
            Some(namespace) => std::slice::from_ref(namespace),
            None => &self.namespaces,
        };
        for namespace in namespaces {
            let path = InstancePath { host: None, namespace: Some(namespace.clone()), ..path.clone() };
            match self.client.get_instance(&path, Some(&["InstanceID"])).await {
                Ok(_) => return Ok(vec![JobHandle::new(self.client, path)]),
                Err(e) if is_absent(&e) => {}
                Err(e) => return Err(e),
            }
        }
        Ok(Vec::new())
    }

    async fn matching(
        &self,
        namespace: &NamespaceName,
        text: &str,
        exact: bool,
    ) -> Result<Vec<InstancePath>, ClientError> {
        match self.client.exec_query(namespace, self.query(text, exact)).await {
            Ok(found) => Ok(found.into_iter().filter_map(|i| self.path_of(i, namespace)).collect()),
            Err(e) if is_absent(&e) => Ok(Vec::new()),
            // Servers without queries say so in many ways; the names tell as well.
            Err(ClientError::Cim(e)) if e.status != CimStatus::AccessDenied => {
                let names = match self.client.enumerate_instance_names(namespace, self.class).await {
                    Err(e) if is_absent(&e) => return Ok(Vec::new()),
                    other => other?,
                };
                Ok(names.into_iter().filter(|p| is_meant(p, text, exact)).collect())
            }
            Err(e) => Err(e),
        }
    }

    fn query(&self, text: &str, exact: bool) -> Query {
        let property = PropertyPath::of("InstanceID");
        let condition = if exact {
            Condition::Compare { property, operator: Comparison::Equal, constant: text.into() }
        } else {
            let mut parts: Vec<PatternPart> = text.chars().map(PatternPart::Literal).collect();
            parts.push(PatternPart::Any);
            Condition::Like { property, pattern: Pattern(parts) }
        };
        Query {
            select: Some(vec![PropertyPath::of("InstanceID")]),
            from: self.class.into(),
            condition: Some(condition),
            fold_case: true,
        }
    }

    /// The path of a query result. Results carry none on most servers; the class and the key make it.
    fn path_of(&self, instance: Instance, namespace: &NamespaceName) -> Option<InstancePath> {
        let id = instance_id(&instance)?.to_owned();
        Some(match instance.path {
            Some(path) if !path.keys.is_empty() => path,
            _ => InstancePath::new(namespace.clone(), instance.class).with_key("InstanceID", id),
        })
    }
}

/// What to tell a person whose text means several jobs.
pub fn ambiguous_text(text: &str, found: &[JobHandle<'_>]) -> String {
    let ids: Vec<&str> = found.iter().filter_map(|j| j.path().key_str("InstanceID")).take(8).collect();
    let more = found.len().saturating_sub(ids.len());
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("\"{text}\" may be {} jobs: {}{rest}", found.len(), ids.join(", "))
}

/// The text as a path with keys.
fn as_path(text: &str) -> Option<InstancePath> {
    match wire::parse_path(text).filter(|_| text.contains('='))? {
        ObjectPath::Instance(path) => Some(path),
        ObjectPath::Class(_) => None,
    }
}

fn is_meant(path: &InstancePath, text: &str, exact: bool) -> bool {
    let Some(id) = path.key_str("InstanceID") else { return false };
    if exact {
        return id.eq_ignore_ascii_case(text);
    }
    id.get(..text.len()).is_some_and(|start| start.eq_ignore_ascii_case(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_meant_by_itself_or_by_its_beginning() {
        let path = InstancePath::new(None, "X").with_key("InstanceID", "0199AB-cd");
        assert!(is_meant(&path, "0199ab-CD", true));
        assert!(!is_meant(&path, "0199ab", true));
        assert!(is_meant(&path, "0199ab", false));
        assert!(!is_meant(&path, "99", false));
        assert!(!is_meant(&path, "0199AB-cd-longer", false));
        let umlaut = InstancePath::new(None, "X").with_key("InstanceID", "äb");
        assert!(!is_meant(&umlaut, "a", false));
    }
}
