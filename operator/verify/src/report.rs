//! What is told: a table for people, or the same as data.

use std::fmt::Write as _;

use accord_crds::{PodReason, Verdict};
use serde::Serialize;

use crate::cli::Output;
use crate::examine::Findings;
use crate::problem::Problem;

/// The report.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// The worst of all.
    verdict: Verdict,
    agreeing: usize,
    total: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    replicas: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    replica: String,
    verdict: Verdict,
    reason: PodReason,
    evidence: String,
    advice: Vec<&'static str>,
}

impl Report {
    pub(crate) fn new(findings: Findings) -> Self {
        let replicas: Vec<Row> = findings
            .replicas
            .into_iter()
            .map(|(replica, found)| Row {
                replica,
                verdict: found.verdict,
                reason: found.reason,
                evidence: found.evidence,
                advice: found.advice,
            })
            .collect();
        let any = |verdict| replicas.iter().any(|r| r.verdict == verdict);
        Self {
            verdict: if any(Verdict::Diverges) {
                Verdict::Diverges
            } else if any(Verdict::Unknown) {
                Verdict::Unknown
            } else {
                Verdict::Agrees
            },
            agreeing: replicas.iter().filter(|r| r.verdict == Verdict::Agrees).count(),
            total: replicas.len(),
            note: findings.note,
            replicas,
        }
    }

    /// 0 they agree, 1 one diverges, 2 it couldn't be told.
    pub(crate) fn exit_code(&self) -> u8 {
        match self.verdict {
            Verdict::Agrees => 0,
            Verdict::Diverges => 1,
            Verdict::Unknown => 2,
        }
    }

    pub(crate) fn text(&self, output: Output) -> Result<String, Problem> {
        let form = |e: &dyn std::fmt::Display| Problem::Form(e.to_string());
        match output {
            Output::Table => Ok(self.table()),
            Output::Json => serde_json::to_string_pretty(self)
                .map(|text| text + "\n")
                .map_err(|e| form(&e)),
            Output::Yaml => serde_saphyr::to_string(self).map_err(|e| form(&e)),
        }
    }

    fn table(&self) -> String {
        let width = |cells: &mut dyn Iterator<Item = &str>| cells.map(str::len).max().unwrap_or_default();
        let first = width(
            &mut self
                .replicas
                .iter()
                .map(|r| r.replica.as_str())
                .chain(["REPLICA"]),
        );
        let second = "Diverges".len();
        let mut out = format!("{:first$}  {:second$}  REASON\n", "REPLICA", "VERDICT");
        for row in &self.replicas {
            let verdict = format!("{:?}", row.verdict);
            let _ = writeln!(
                out,
                "{:first$}  {verdict:second$}  {}",
                row.replica,
                row.reason.as_str()
            );
        }
        for row in self.replicas.iter().filter(|r| r.verdict != Verdict::Agrees) {
            let _ = writeln!(out, "\n{}: {}", row.replica, row.evidence);
            for line in &row.advice {
                let _ = writeln!(out, "  {line}");
            }
        }
        if let Some(note) = &self.note {
            let _ = writeln!(out, "\n{note}");
        }
        let _ = writeln!(out, "\n{} of {} replicas agree.", self.agreeing, self.total);
        out
    }
}
