//! Rights: what an account is granted by the roles that are bound to it, and what it used, as the API server logged it.
//! Reads, and changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::audit::{self, Request};
use crate::cluster::Cluster;
use crate::paths;

/// One verb on one resource.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Right {
    group: String,
    resource: String,
    verb: String,
}

/// What an account has asked for.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    /// How often each right was used.
    pub(crate) used: BTreeMap<Right, u64>,
    /// Requests that were refused for want of a right, or by the policy on `pods/status`.
    pub(crate) refused: Vec<String>,
}

impl Right {
    pub(crate) fn new(group: &str, resource: &str, verb: &str) -> Self {
        Self {
            group: group.to_owned(),
            resource: resource.to_owned(),
            verb: verb.to_owned(),
        }
    }
}

impl std::fmt::Display for Right {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.verb, self.resource)?;
        if self.group.is_empty() {
            return Ok(());
        }
        write!(f, " ({})", self.group)
    }
}

/// What the roles that are bound to a service account grant it.
pub(crate) fn granted(cluster: &Cluster, namespace: &str, account: &str) -> Result<BTreeSet<Right>> {
    let mut rights = BTreeSet::new();
    for kind in ["clusterrolebindings", "rolebindings"] {
        let text = cluster.kubectl(&["get", kind, "--all-namespaces", "-o", "json"])?;
        let list: Value = serde_json::from_str(&text).with_context(|| format!("{kind} aren't JSON"))?;
        for binding in list["items"].as_array().into_iter().flatten() {
            if !binds(binding, namespace, account) {
                continue;
            }
            let role = &binding["roleRef"];
            let name = role["name"].as_str().unwrap_or_default();
            let role = match role["kind"].as_str() {
                Some("Role") => {
                    let place = binding["metadata"]["namespace"].as_str().unwrap_or_default();
                    cluster.get("role", place, name)?
                }
                _ => cluster.get("clusterrole", "default", name)?,
            };
            rights.extend(rules(&role));
        }
    }
    ensure!(
        !rights.is_empty(),
        "no role is bound to the account {namespace}/{account}"
    );
    Ok(rights)
}

fn binds(binding: &Value, namespace: &str, account: &str) -> bool {
    let subjects = binding["subjects"].as_array();
    subjects
        .into_iter()
        .flatten()
        .any(|s| s["kind"] == "ServiceAccount" && s["name"] == account && s["namespace"] == namespace)
}

/// The rights of a role. Names of objects are left out: they only narrow a right.
fn rules(role: &Value) -> BTreeSet<Right> {
    let words = |value: &Value| -> Vec<String> {
        let all = value.as_array().into_iter().flatten();
        all.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let mut rights = BTreeSet::new();
    for rule in role["rules"].as_array().into_iter().flatten() {
        for group in words(&rule["apiGroups"]) {
            for resource in words(&rule["resources"]) {
                for verb in words(&rule["verbs"]) {
                    rights.insert(Right::new(&group, &resource, &verb));
                }
            }
        }
    }
    rights
}

/// What an account has asked for since the log began.
pub(crate) fn asked(account: &str) -> Result<Asked> {
    let mut asked = Asked::default();
    audit::each_of(account, |request| asked.take_in(&request))?;
    Ok(asked)
}

impl Asked {
    fn take_in(&mut self, request: &Request) {
        // The policy on pods/status answers 422, or 403; nothing else does there.
        let by_policy = request.resource == "pods/status" && matches!(request.code, 403 | 422);
        if request.denied || by_policy {
            self.refused.push(format!("{request} in {}", request.namespace));
        } else if !request.resource.is_empty() {
            let right = Right::new(&request.group, &request.resource, &request.verb);
            *self.used.entry(right).or_default() += 1;
        }
    }
}

/// The rights that only rare events use, with the event: the table of the documentation.
pub(crate) fn rare() -> Result<BTreeMap<Right, String>> {
    table(&paths::read(&paths::checkout().join("operator/docs/rights.md"))?)
}

fn table(page: &str) -> Result<BTreeMap<Right, String>> {
    const HEADING: &str = "\n## Used and granted\n";
    let (_, section) = page.split_once(HEADING).context("the page has no such section")?;
    let section = section.split("\n## ").next().unwrap_or_default();
    let mut rare = BTreeMap::new();
    for line in section.lines().filter(|l| l.starts_with("| ")).skip(1) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [group, resource, verbs, event, ..] = cells[..] else {
            anyhow::bail!("a row with too few columns: {line}");
        };
        let group = if group == "core" { "" } else { group };
        for verb in verbs.split(", ") {
            rare.insert(Right::new(group, resource, verb), event.to_owned());
        }
    }
    ensure!(!rare.is_empty(), "the section has no table");
    Ok(rare)
}

/// In what the rights that are granted, those that were used, and those that are said to be rare don't fit.
pub(crate) fn misfits(
    granted: &BTreeSet<Right>,
    asked: &Asked,
    rare: &BTreeMap<Right, String>,
) -> Vec<String> {
    let unused = granted
        .iter()
        .filter(|r| !asked.used.contains_key(r) && !rare.contains_key(r))
        .map(|r| format!("granted, and never used: {r}"));
    let idle = rare
        .keys()
        .filter(|r| !granted.contains(r))
        .map(|r| format!("said to be used rarely, and not granted: {r}"));
    let refused = asked.refused.iter().map(|r| format!("refused: {r}"));
    unused.chain(idle).chain(refused).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn request(verb: &str, resource: &str, code: u64, denied: bool) -> Request {
        Request {
            verb: verb.to_owned(),
            group: String::new(),
            resource: resource.to_owned(),
            namespace: "docks".to_owned(),
            name: "crane".to_owned(),
            code,
            denied,
        }
    }

    fn asked(requests: &[Request]) -> Asked {
        let mut asked = Asked::default();
        for request in requests {
            asked.take_in(request);
        }
        asked
    }

    #[test]
    fn a_right_that_nobody_uses_is_told_unless_it_is_known_to_be_rare() {
        let role = json!({"rules": [{"apiGroups": [""], "resources": ["pods", "secrets"], "verbs": ["get", "list"]}]});
        let granted = rules(&role);
        assert_eq!(granted.len(), 4);
        let asked = asked(&[
            request("get", "pods", 200, false),
            request("list", "pods", 200, false),
        ]);
        let rare = BTreeMap::from([(Right::new("", "secrets", "get"), "seldom".to_owned())]);
        assert_eq!(
            misfits(&granted, &asked, &rare),
            ["granted, and never used: list secrets"]
        );
        let rare = BTreeMap::from([(Right::new("apps", "deployments", "delete"), "seldom".to_owned())]);
        let told = misfits(&rules(&json!({})), &asked, &rare);
        assert_eq!(
            told,
            ["said to be used rarely, and not granted: delete deployments (apps)"]
        );
    }

    #[test]
    fn a_missing_right_is_told_and_a_namespace_that_ends_is_not() {
        let asked = asked(&[
            request("create", "secrets", 403, false),
            request("get", "nodes", 403, true),
            request("patch", "pods/status", 422, false),
        ]);
        let told = misfits(&BTreeSet::new(), &asked, &BTreeMap::new());
        assert_eq!(
            told,
            [
                "refused: get nodes crane (403) in docks",
                "refused: patch pods/status crane (422) in docks"
            ]
        );
    }

    #[test]
    fn only_the_accounts_own_bindings_count() {
        let binding =
            json!({"subjects": [{"kind": "ServiceAccount", "name": "accord", "namespace": "docks"}]});
        assert!(binds(&binding, "docks", "accord"));
        assert!(!binds(&binding, "shop", "accord") && !binds(&binding, "docks", "other"));
    }

    #[test]
    fn the_documented_table_is_read() {
        let rare = rare().unwrap();
        assert!(
            rare.contains_key(&Right::new("", "pods/eviction", "create")),
            "{rare:?}"
        );
        assert!(table("# Rights\n").is_err());
    }
}
