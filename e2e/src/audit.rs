//! What was asked of the embedded cluster's API server: its audit log, one JSON object a line, which it rotates.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::embedded;

/// Shows every request of an account that the log still holds, rotated files included.
pub(crate) fn each_of(account: &str, mut look: impl FnMut(Request)) -> Result<()> {
    for file in all_files(&embedded::audit_log())? {
        let file = File::open(&file).with_context(|| format!("can't read {}", file.display()))?;
        for line in BufReader::new(file).lines() {
            parse(&line?, account).into_iter().for_each(&mut look);
        }
    }
    Ok(())
}

/// The log and what it was rotated to: `audit.log`, `audit-TIME.log`.
fn all_files(log: &Path) -> Result<Vec<PathBuf>> {
    let directory = log.parent().context("the log lies in a directory")?;
    let stem = log.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        let own = path
            .file_stem()
            .is_some_and(|s| s.to_string_lossy().starts_with(&stem));
        if own && path.extension() == log.extension() {
            found.push(path);
        }
    }
    Ok(found)
}

/// A place in the log.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark {
    inode: u64,
    length: u64,
}

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    /// `get`, `patch`, …
    pub(crate) verb: String,
    /// The group of the API; empty for the core group.
    pub(crate) group: String,
    /// The plural of the kind, with the subresource: `pods/status`.
    pub(crate) resource: String,
    /// The object's namespace; empty for requests that concern no single namespace.
    pub(crate) namespace: String,
    /// The object's name.
    pub(crate) name: String,
    /// The answer's status code.
    pub(crate) code: u64,
    /// True when a right was missing. Admission refuses with the same code, but knows the request by then.
    pub(crate) denied: bool,
}

impl Request {
    /// True for what changes something.
    pub(crate) fn is_write(&self) -> bool {
        !matches!(self.verb.as_str(), "get" | "list" | "watch")
    }
}

impl std::fmt::Display for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {} ({})", self.verb, self.resource, self.name, self.code)
    }
}

impl Mark {
    /// The end of the log as it is now.
    pub(crate) fn now() -> Result<Self> {
        Self::of(&embedded::audit_log())
    }

    fn of(log: &Path) -> Result<Self> {
        let metadata = std::fs::metadata(log).with_context(|| format!("can't read {}", log.display()))?;
        Ok(Self {
            inode: metadata.ino(),
            length: metadata.len(),
        })
    }

    /// The requests of an account since then, without those for leases and tokens: they are the operator's own life.
    pub(crate) fn requests_of(&self, account: &str) -> Result<Vec<Request>> {
        let mut text = String::new();
        for (file, offset) in self.files(&embedded::audit_log())? {
            let mut file = File::open(&file).with_context(|| format!("can't read {}", file.display()))?;
            file.seek(SeekFrom::Start(offset))?;
            file.read_to_string(&mut text)?;
        }
        let leases = |r: &Request| r.resource.starts_with("leases");
        Ok(text
            .lines()
            .filter_map(|line| parse(line, account))
            .filter(|r| !leases(r))
            .collect())
    }

    /// The files that were written since, with where to begin in each: the log itself, and, when it was rotated, the one
    /// that it was then.
    fn files(self, log: &Path) -> Result<Vec<(PathBuf, u64)>> {
        if Self::of(log)?.inode == self.inode {
            return Ok(vec![(log.to_owned(), self.length)]);
        }
        let directory = log.parent().context("the log lies in a directory")?;
        for entry in std::fs::read_dir(directory)? {
            let entry = entry?;
            if entry.metadata()?.ino() == self.inode {
                return Ok(vec![(entry.path(), self.length), (log.to_owned(), 0)]);
            }
        }
        anyhow::bail!("the audit log of {} was rotated away", log.display())
    }
}

fn parse(line: &str, account: &str) -> Option<Request> {
    // Most lines are of others, and reading JSON costs more than looking for a name.
    if !line.contains(account) {
        return None;
    }
    let event: Value = serde_json::from_str(line).ok()?;
    let code = event["responseStatus"]["code"].as_u64().unwrap_or_default();
    // A watch counts when it begins: its end may be far. One that is refused only ends.
    let begins = event["stage"] == "ResponseStarted";
    let is_watch = event["verb"] == "watch" && code < 400;
    if event["user"]["username"] != account || begins != is_watch {
        return None;
    }
    let object = &event["objectRef"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut resource = text(&object["resource"]);
    if let Some(sub) = object["subresource"].as_str() {
        resource = format!("{resource}/{sub}");
    }
    Some(Request {
        verb: text(&event["verb"]),
        group: text(&object["apiGroup"]),
        resource,
        namespace: text(&object["namespace"]),
        name: text(&object["name"]),
        code,
        denied: event["annotations"]["authorization.k8s.io/decision"] == "forbid",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"stage":"ResponseComplete","verb":"patch","user":{"username":"a"},"objectRef":{"resource":"pods","subresource":"status","namespace":"n","name":"p"},"responseStatus":{"code":200}}"#;

    #[test]
    fn a_line_of_the_account_is_a_request_and_another_account_s_is_not() {
        let request = parse(LINE, "a").unwrap();
        assert_eq!(request.to_string(), "patch pods/status p (200)");
        assert!(request.is_write());
        assert_eq!(parse(LINE, "b"), None);
        assert_eq!(parse("half a li", "a"), None);
    }

    #[test]
    fn a_watch_counts_once_when_it_begins_and_a_missing_right_is_told_from_admission() {
        let watch = |stage: &str, code: u64| {
            let line = LINE
                .replace("\"patch\"", "\"watch\"")
                .replace("ResponseComplete", stage);
            parse(&line.replace("200", &code.to_string()), "a")
        };
        assert!(watch("ResponseStarted", 200).is_some() && watch("ResponseComplete", 200).is_none());
        assert!(watch("ResponseComplete", 403).is_some());

        let decided = |decision: &str| {
            let line = LINE.strip_suffix('}').unwrap().replace("200", "403");
            let line = format!(r#"{line},"annotations":{{"authorization.k8s.io/decision":"{decision}"}}}}"#);
            parse(&line, "a").unwrap().denied
        };
        assert!(decided("forbid") && !decided("allow"));
    }

    #[test]
    fn what_was_written_before_and_after_a_rotation_is_read() {
        let dir = std::env::temp_dir().join(format!("audit-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let log = dir.join("audit.log");
        std::fs::write(&log, "old").unwrap();
        let mark = Mark::of(&log).unwrap();
        assert_eq!(mark.files(&log).unwrap(), [(log.clone(), 3)]);
        let kept = dir.join("audit-1.log");
        std::fs::rename(&log, &kept).unwrap();
        std::fs::write(&log, "new").unwrap();
        assert_eq!(mark.files(&log).unwrap(), [(kept.clone(), 3), (log.clone(), 0)]);
        std::fs::write(dir.join("kubelet.log"), "another's").unwrap();
        let mut all = all_files(&log).unwrap();
        all.sort();
        assert_eq!(all, [kept, log]);
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
