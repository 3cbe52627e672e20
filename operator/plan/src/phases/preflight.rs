//! Preflight: before the first pod of a revision starts, its image is asked what the servers would use. Asked once: the
//! answer stands in status, because Jobs and their pods are collected. No answer is no contradiction, and stops nobody.

use accord_crds::environment::Environment;
use accord_crds::meta::ANNOTATION_RETRY;
use accord_crds::preflight::{PreflightMode, PreflightStatus};
use accord_crds::{Reason, Verdict};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::binding::{Audience, Rendered, Sources};
use crate::build;
use crate::context::Context;
use crate::digest;
use crate::gate::Gate;
use crate::key::{Kind, Object};
use crate::phases::runs::{JobState, again, failure, job_state, owned, waiting_for};
use crate::phases::{Draft, workload};
use crate::preflight::{Declared, ExpectedDatabase, judge, read};
use crate::probe;
use crate::revision::Revision;
use crate::status::bounded;

/// How old the Job of an answer that is gone has to be for it to be asked again. One whose pod is gone at once would be so
/// the next time too.
const STALE: SignedDuration = SignedDuration::from_mins(5);

/// Asks the declared revision.
pub fn run(
    context: &Context,
    declared: &Revision,
    sources: Option<&Sources>,
    when: When,
    draft: &mut Draft,
) -> (Gate, Option<PreflightStatus>) {
    let settings = declared.spec.preflight.clone().unwrap_or_default();
    let mode = settings.mode.unwrap_or_default();
    let command = if settings.command.is_empty() {
        owned(Context::preset(&declared.spec).facts)
    } else {
        settings.command
    };
    if mode == PreflightMode::Skip {
        return (Gate::open("Preflight is skipped, as declared."), None);
    }
    if command.is_empty() {
        return (Gate::open("No facts command is declared."), None);
    }
    let inputs = serde_json::to_vec(&(&declared.digest, &command)).unwrap_or_default();
    let revision = digest::short(&inputs);
    if let Some(known) = remembered(context, &revision, when == When::Begun) {
        return (gate(&known, mode), Some(known));
    }
    let already = || {
        let gate = Gate::open("Pods of this revision run already: what they use is shown by the exchange.");
        (gate, None)
    };
    let bound = sources.and_then(|s| {
        let (rendered, binding) = workload::bind(context, declared, s, Audience::Server)?;
        Some((s, rendered, binding))
    });
    let Some((sources, rendered, binding)) = bound.filter(|_| when != When::TooEarly) else {
        return if when == When::Begun {
            already()
        } else {
            let message = "An earlier phase has to finish first.";
            (Gate::closed(Reason::WaitingForEarlierPhase, message), None)
        };
    };
    let question = Question {
        context,
        declared,
        sources,
        revision,
        command,
        rendered,
        binding,
    };
    if when == When::Begun {
        // Asked, and not written down before the first pod.
        let known = question.found();
        return known.map_or_else(already, |known| (gate(&known, mode), Some(known)));
    }
    match question.pursue(draft) {
        Ok(known) => (gate(&known, mode), Some(known)),
        Err(message) => (Gate::closed(Reason::CheckingFacts, message), None),
    }
}

/// Whether it is time to ask.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// The phases before aren't through.
    TooEarly,
    /// They are, and no pod of the revision was made.
    Now,
    /// Pods of the revision were made: it is too late.
    Begun,
}

/// What is in status about this revision. Anything but agreement is asked again on request, while nothing runs yet.
fn remembered(context: &Context, revision: &str, begun: bool) -> Option<PreflightStatus> {
    let stored = context.stored_status()?.preflight.as_ref()?;
    let asked_again =
        stored.verdict != Verdict::Agrees && stored.retry != context.annotation(ANNOTATION_RETRY);
    (stored.revision == revision && (begun || !asked_again)).then(|| stored.clone())
}

/// What a known answer means.
fn gate(known: &PreflightStatus, mode: PreflightMode) -> Gate {
    let reason = Reason::ALL
        .iter()
        .copied()
        .find(|r| r.as_str() == known.reason)
        .unwrap_or(Reason::FactsUnavailable);
    match known.verdict {
        Verdict::Agrees => Gate::open(&known.message),
        Verdict::Unknown => Gate::Waived {
            refuted: false,
            reason,
            message: known.message.clone(),
        },
        Verdict::Diverges if mode == PreflightMode::Report => Gate::Waived {
            refuted: true,
            reason,
            message: known.message.clone(),
        },
        Verdict::Diverges => Gate::closed(reason, &known.message),
    }
}

/// Why an answer can't be read.
enum Unread {
    /// It isn't known yet that the pod has ended.
    Yet,
    /// There is no pod any more.
    Gone,
}

/// One revision to be asked.
struct Question<'q, 'a> {
    context: &'q Context<'a>,
    declared: &'q Revision,
    sources: &'q Sources,
    revision: String,
    command: Vec<String>,
    rendered: Rendered,
    binding: String,
}

impl Question<'_, '_> {
    /// The answer, or what is waited for.
    fn pursue(self, draft: &mut Draft) -> Result<PreflightStatus, String> {
        let context = self.context;
        let name = context.names.preflight_job(&self.revision);
        let ended = match job_state(context, &name) {
            JobState::Absent => {
                workload::want_binding(context, draft, &self.binding, &self.rendered);
                let job = build::preflight::ask(
                    context,
                    self.declared,
                    (&name, &self.revision),
                    self.command,
                    (&self.rendered, &self.binding),
                );
                draft.want(job);
                return Err(format!(
                    "Asking the image what its servers would use: starting Job {name}."
                ));
            }
            JobState::Running => {
                // The collector may have taken the Secret between the two.
                workload::want_binding(context, draft, &self.binding, &self.rendered);
                return Err(waiting_for(context, &name));
            }
            JobState::Succeeded(job) | JobState::Failed(job) => job,
        };
        if again(context, ended) || !names(ended, &self.binding) {
            draft.delete.push(ended.clone());
            return Err("Asking the image again what its servers would use.".into());
        }
        match self.read(ended) {
            Ok(known) => Ok(known),
            Err(Unread::Yet) => Err(format!("Reading what Job {name} printed.")),
            Err(Unread::Gone) if is_stale(context, ended) => {
                draft.delete.push(ended.clone());
                Err("Asking the image again what its servers would use.".into())
            }
            Err(Unread::Gone) => {
                let why = format!("the pod of Job {name} is gone, and what it printed with it");
                Ok(self.unknown(&why))
            }
        }
    }

    /// The answer of a Job that has ended, if there is one; nothing is asked.
    fn found(&self) -> Option<PreflightStatus> {
        let name = self.context.names.preflight_job(&self.revision);
        match job_state(self.context, &name) {
            JobState::Succeeded(job) | JobState::Failed(job) if names(job, &self.binding) => {
                self.read(job).ok()
            }
            _ => None,
        }
    }

    fn read(&self, job: &Object) -> Result<PreflightStatus, Unread> {
        let name = &job.key.name;
        if matches!(job_state(self.context, name), JobState::Failed(_)) {
            return Ok(self.unknown(&failure(self.context, name)));
        }
        let message = said(pod_of(self.context, job).ok_or(Unread::Gone)?).ok_or(Unread::Yet)?;
        Ok(match read(message) {
            Ok(runs) => self.judged(&runs),
            Err(why) => self.unknown(&why),
        })
    }

    fn answer(&self, verdict: Verdict, reason: Option<Reason>, message: &str) -> PreflightStatus {
        PreflightStatus {
            revision: self.revision.clone(),
            verdict,
            reason: reason.map_or_else(String::new, |r| r.as_str().to_owned()),
            message: bounded(message),
            retry: self.context.annotation(ANNOTATION_RETRY).to_owned(),
        }
    }

    fn unknown(&self, why: &str) -> PreflightStatus {
        let message = format!(
            "Nothing is known of what the servers would use, and nothing is refused for it: {why}. Set spec.preflight.command, or spec.preflight.mode: Skip."
        );
        self.answer(Verdict::Unknown, Some(Reason::FactsUnavailable), &message)
    }

    fn judged(&self, runs: &[crate::preflight::Facts]) -> PreflightStatus {
        let judgement = judge(&self.expected(), runs);
        if let Some(first) = judgement.contradictions.first() {
            let all: Vec<&str> = judgement
                .contradictions
                .iter()
                .map(|c| c.message.as_str())
                .collect();
            let message = format!(
                "{} — or, if that is meant: spec.preflight.mode: Report.",
                all.join("; ")
            );
            return self.answer(Verdict::Diverges, Some(first.reason), &message);
        }
        let list = |items: &[String], none: &str| {
            if items.is_empty() {
                none.to_owned()
            } else {
                items.join(", ")
            }
        };
        let mut message = format!("Seen: {}.", list(&judgement.seen, "nothing that can be compared"));
        if !judgement.notes.is_empty() {
            message = format!("Noted: {}. {message}", list(&judgement.notes, ""));
        }
        self.answer(Verdict::Agrees, None, &message)
    }

    fn expected(&self) -> Declared {
        let sources = self.sources;
        let spec = &self.declared.spec;
        let ring = probe::keys(self.context, spec);
        Declared {
            framework: Some(spec.framework),
            hostnames: spec.hostnames.clone(),
            database: sources.database.as_ref().map(|d| ExpectedDatabase {
                hosts: vec![d.host.clone(), d.direct.0.clone()],
                name: d.name.clone(),
            }),
            cache: sources.cache.as_ref().map(|c| c.host.clone()),
            ring: ring
                .iter()
                .map(|key| digest::fingerprint(sources.active.as_bytes(), key.as_bytes()))
                .collect(),
            public: spec.environment != Some(Environment::Development),
            session_cookie: Context::recipe(spec).and_then(|r| r.login.session_cookie),
        }
    }
}

/// True when a Job was made with these bindings. Fingerprints can be compared within one ring only.
fn names(job: &Object, binding: &str) -> bool {
    job.value["spec"]["template"]["spec"]["containers"][0]["env"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|e| e["valueFrom"]["secretKeyRef"]["name"].as_str())
        .filter(|secret| secret.contains("-binding-"))
        .all(|secret| secret == binding)
}

/// The pod of a Job that ended well; not one of an earlier Job of the same name.
fn pod_of<'a>(context: &Context<'a>, job: &Object) -> Option<&'a Object> {
    let owned = |pod: &&Object| {
        let owners = pod.value["metadata"]["ownerReferences"].as_array();
        owners.into_iter().flatten().any(|o| o["uid"] == *job.uid())
    };
    let mut pods: Vec<&Object> = context.observed.objects.of(Kind::Pod).filter(owned).collect();
    pods.sort_by_key(|pod| said(pod).is_some_and(|text| text.contains("accordFacts")));
    pods.pop()
}

/// The termination message of a pod's container; `None` while it isn't known that it ended.
fn said(pod: &Object) -> Option<&str> {
    let statuses = pod.value["status"]["containerStatuses"].as_array()?;
    let ended = statuses
        .iter()
        .map(|c| &c["state"]["terminated"])
        .find(|t| !t.is_null())?;
    Some(ended["message"].as_str().unwrap_or_default())
}

fn is_stale(context: &Context, job: &Object) -> bool {
    let completed = match &job.value["status"]["completionTime"] {
        Value::String(text) => text.parse::<Timestamp>().ok(),
        _ => None,
    };
    completed.is_some_and(|at| context.observed.now.duration_since(at) > STALE)
}
