//! A request to the API server, in Kubernetes' words: what is done to what.

use serde::{Deserialize, Serialize};

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verb {
    Get,
    List,
    Watch,
    Create,
    Update,
    Patch,
    Delete,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) verb: Verb,
    /// The plural, with the subresource: `pods/status`.
    pub(crate) resource: String,
    /// Empty for lists, and where an object is made.
    pub(crate) name: String,
}

impl Asked {
    /// From a method and a target; `None` for what isn't about objects (`/version`).
    pub(crate) fn parse(method: &str, target: &str) -> Option<Self> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut parts = path.split('/').filter(|p| !p.is_empty());
        match parts.next()? {
            "api" => parts.next()?,
            "apis" => parts.next().and(parts.next())?,
            _ => return None,
        };
        let mut rest: Vec<&str> = parts.collect();
        // `namespaces/NAME` alone is an object; with more behind it, it says where the object is.
        if rest.first() == Some(&"namespaces") && rest.len() > 2 {
            rest.drain(..2);
        }
        let name = rest.get(1).copied().unwrap_or_default();
        let resource = match rest.get(2) {
            Some(part) => format!("{}/{part}", rest[0]),
            None => (*rest.first()?).to_owned(),
        };
        let watch = query.split('&').any(|p| p == "watch=true" || p == "watch=1");
        let verb = match method {
            "GET" if watch => Verb::Watch,
            "GET" if name.is_empty() => Verb::List,
            "GET" => Verb::Get,
            "POST" => Verb::Create,
            "PUT" => Verb::Update,
            "PATCH" => Verb::Patch,
            "DELETE" => Verb::Delete,
            _ => return None,
        };
        Some(Self {
            verb,
            resource,
            name: name.to_owned(),
        })
    }

    /// True for what changes something.
    pub(crate) fn is_write(&self) -> bool {
        !matches!(self.verb, Verb::Get | Verb::List | Verb::Watch)
    }
}

impl std::fmt::Display for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let verb = format!("{:?}", self.verb).to_lowercase();
        write!(f, "{verb} {} {}", self.resource, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read_as_the_api_server_reads_them() {
        for (method, target, expected) in [
            (
                "GET",
                "/api/v1/namespaces/a/secrets?&labelSelector=x",
                "list secrets ",
            ),
            ("GET", "/api/v1/namespaces/a/secrets/b", "get secrets b"),
            (
                "GET",
                "/apis/apps/v1/namespaces/a/deployments?watch=true&timeoutSeconds=290",
                "watch deployments ",
            ),
            (
                "PATCH",
                "/api/v1/namespaces/a/pods/p/status?fieldManager=accord",
                "patch pods/status p",
            ),
            ("POST", "/apis/batch/v1/namespaces/a/jobs", "create jobs "),
            (
                "PUT",
                "/apis/coordination.k8s.io/v1/namespaces/a/leases/l",
                "update leases l",
            ),
            ("DELETE", "/apis/batch/v1/namespaces/a/jobs/j", "delete jobs j"),
            ("GET", "/api/v1/namespaces/a", "get namespaces a"),
            ("GET", "/api/v1/pods", "list pods "),
        ] {
            assert_eq!(
                Asked::parse(method, target).unwrap().to_string(),
                expected,
                "{target}"
            );
        }
        assert_eq!(Asked::parse("GET", "/version"), None);
    }
}
