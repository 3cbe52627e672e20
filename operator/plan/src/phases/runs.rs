//! Migration, seeds and the canary: Jobs, and what the ledger says of them. Run at least once, recorded at most once.

use accord_crds::Reason;
use accord_crds::meta::{ANNOTATION_CANARY, ANNOTATION_RETRIED, ANNOTATION_RETRY};
use accord_crds::spec::Seed;
use accord_crds::status::Run;
use k8s_openapi::api::core::v1::EnvVar;

use crate::binding::Rendered;
use crate::build::job::{self, Task};
use crate::context::Context;
use crate::digest;
use crate::gate::Gate;
use crate::key::{Kind, Object};
use crate::labels::Role;
use crate::observed::LedgerRow;
use crate::phases::{Draft, once};
use crate::revision::Revision;

/// The name of the migration in the ledger.
const SCHEMA: &str = "schema";

/// What the Jobs of a revision are made with.
pub struct Bench<'a> {
    /// The revision.
    pub revision: &'a Revision,
    /// Its bindings for Jobs.
    pub rendered: &'a Rendered,
    /// The Secret that holds them.
    pub binding: &'a str,
    /// The ledger, if it could be read after the last Job ended.
    pub ledger: Option<&'a [LedgerRow]>,
}

/// The migration. Without a command or a database there is none.
pub fn migration(context: &Context, bench: &Bench, draft: &mut Draft, runs: &mut Vec<Run>) -> Gate {
    let spec = &bench.revision.spec;
    let declared = spec.migration.clone().unwrap_or_default();
    let command = if declared.command.is_empty() {
        owned(Context::preset(spec).migration)
    } else {
        declared.command.clone()
    };
    if command.is_empty() || spec.database.is_none() {
        return Gate::open("No migration is declared.");
    }
    let revision = digest::short(&inputs(&[&spec.image], &command, &declared.env));
    let run = Pursuit {
        role: Role::Migration,
        entry: SCHEMA,
        job: context.names.migration_job(&revision),
        revision,
        command,
        env: declared.env,
        args: vec![
            "--lock-timeout".into(),
            format!("{}s", declared.lock_timeout_seconds.unwrap_or(30)),
        ],
        once: false,
    };
    run.pursue(context, bench, draft, runs)
}

/// The seeds, one after the other.
pub fn seeds(context: &Context, bench: &Bench, draft: &mut Draft, runs: &mut Vec<Run>) -> Gate {
    let spec = &bench.revision.spec;
    if spec.seeds.is_empty() || spec.database.is_none() {
        return Gate::open("No seed is declared.");
    }
    for seed in &spec.seeds {
        let gate = pursue_seed(context, bench, draft, runs, seed);
        if !gate.is_open() {
            return gate;
        }
    }
    Gate::open(format!(
        "The ledger holds {} of {} seeds.",
        spec.seeds.len(),
        spec.seeds.len()
    ))
}

fn pursue_seed(
    context: &Context,
    bench: &Bench,
    draft: &mut Draft,
    runs: &mut Vec<Run>,
    seed: &Seed,
) -> Gate {
    let image = &bench.revision.spec.image;
    // One that may run twice runs for every image; one that may not runs once in the life of the data.
    let image = if seed.idempotent { [image.as_str()] } else { [""] };
    let revision = digest::short(&inputs(&image, &seed.command, &seed.env));
    let run = Pursuit {
        role: Role::Seed,
        entry: &seed.name,
        job: context.names.seed_job(&seed.name, &revision),
        revision,
        command: seed.command.clone(),
        env: seed.env.clone(),
        args: if seed.idempotent {
            vec!["--idempotent".into()]
        } else {
            Vec::new()
        },
        once: !seed.idempotent,
    };
    run.pursue(context, bench, draft, runs)
}

/// The canary: its password reaches this Job and the prober only. Convergent, so it stands in no ledger; a Job that
/// succeeded is the record, and one that is gone is run again.
pub fn canary(context: &Context, bench: &Bench, draft: &mut Draft) -> Gate {
    let spec = &bench.revision.spec;
    let own = spec
        .verification
        .as_ref()
        .and_then(|v| v.canary.as_ref())
        .map(|c| c.command.clone());
    let command = own.unwrap_or_else(|| owned(Context::preset(spec).canary));
    if command.is_empty() || spec.database.is_none() {
        return Gate::open("No canary is needed.");
    }
    let secret = context.names.canary();
    let username = context
        .observed
        .objects
        .get(Kind::Secret, &secret)
        .and_then(|s| s.secret_text("username"));
    // The image counts: one with users of its own has made the account there, and a good one after it would miss it.
    let username = username.unwrap_or_default();
    let revision = digest::short(&inputs(&[&spec.image, &username], &command, &[]));
    let name = context.names.canary_job(&revision);
    let env = ["username", "password", "email"]
        .map(|key| {
            crate::build::pod::from_secret(&format!("ACCORD_CANARY_{}", key.to_uppercase()), &secret, key)
        })
        .into();
    let task = Task {
        name: name.clone(),
        role: Role::Canary,
        entry: "canary",
        revision: &revision,
        command,
        env,
        runner_args: Vec::new(),
        retry: context.annotation(ANNOTATION_RETRY),
        account: &account(&username),
    };
    match job_state(context, &name) {
        JobState::Absent => {
            draft.want(job::task(context, spec, bench.rendered, bench.binding, task));
            Gate::closed(
                Reason::CreatingCanary,
                "Creating the canary account that the prober logs in with.",
            )
        }
        JobState::Running => Gate::closed(Reason::CreatingCanary, waiting_for(context, &name)),
        JobState::Succeeded(_) => Gate::open("The canary account is there."),
        JobState::Failed(job) if again(context, job) => {
            draft.delete.push(job.clone());
            Gate::closed(
                Reason::CreatingCanary,
                "Creating the canary account again, as asked.",
            )
        }
        JobState::Failed(_) => Gate::closed(
            Reason::CanaryFailed,
            format!(
                "{}Job {name} failed: {}. Mend spec.verification.canary.command or the image, or set the annotation {ANNOTATION_RETRY} to a new value.",
                elsewhere(context),
                failure(context, &name)
            ),
        ),
    }
}

/// How a Job names the account: the username itself isn't for everybody.
fn account(username: &str) -> String {
    if username.is_empty() {
        return String::new();
    }
    digest::short(username.as_bytes())
}

/// False while the account of this name is still to be made: the Secret was replaced, and its Job is at work. Where no Job
/// says for whom it was made, there is nothing to wait for.
pub fn is_provisioned(context: &Context) -> bool {
    let jobs = context.observed.objects.of(Kind::Job);
    let secret = context
        .observed
        .objects
        .get(Kind::Secret, &context.names.canary());
    let username = secret.and_then(|s| s.secret_text("username"));
    let account = account(&username.unwrap_or_default());
    let mut known = jobs
        .filter_map(|job| Some((job, job.annotation(ANNOTATION_CANARY)?)))
        .peekable();
    let done = |job: &Object| matches!(job_state(context, &job.key.name), JobState::Succeeded(_));
    known.peek().is_none() || known.any(|(job, name)| name == account && done(job))
}

/// What a failure after the migration means when the declared database is still empty.
fn elsewhere(context: &Context) -> &'static str {
    let facts = context
        .observed
        .database
        .as_ref()
        .and_then(|a| a.facts.as_ref().ok());
    if facts.is_some_and(|f| f.is_empty) {
        "LocalDatabase: the declared database still holds no table, so this image writes one of its own (a SQLite file?). \
         Make it read its binding, for example DATABASE_URL. "
    } else {
        ""
    }
}

/// A command of a preset.
pub(super) fn owned(command: &[&str]) -> Vec<String> {
    command.iter().map(|s| (*s).to_owned()).collect()
}

/// What makes a revision of a run: never credentials; references count by name, so that rotation and restore rerun nothing.
fn inputs(parts: &[&str], command: &[String], env: &[EnvVar]) -> Vec<u8> {
    serde_json::to_vec(&(parts, command, env)).unwrap_or_default()
}

/// One run on its way into the ledger.
struct Pursuit<'a> {
    role: Role,
    entry: &'a str,
    revision: String,
    job: String,
    command: Vec<String>,
    env: Vec<EnvVar>,
    args: Vec<String>,
    /// True for what must not run twice on the same data.
    once: bool,
}

impl Pursuit<'_> {
    fn pursue(self, context: &Context, bench: &Bench, draft: &mut Draft, runs: &mut Vec<Run>) -> Gate {
        let kind = self.role.as_str();
        let (busy, failed) = match self.role {
            Role::Migration => (Reason::Migrating, Reason::MigrationFailed),
            _ => (Reason::Seeding, Reason::SeedFailed),
        };
        let state = job_state(context, &self.job);
        let Some(ledger) = bench.ledger else {
            return match state {
                JobState::Running => Gate::closed(busy, waiting_for(context, &self.job)),
                _ => Gate::closed(Reason::LedgerUnreadable, "Reading the ledger."),
            };
        };
        let row = ledger
            .iter()
            .find(|r| r.kind == kind && r.name == self.entry && r.revision == self.revision);
        let mut run = Run {
            kind: kind.to_owned(),
            name: self.entry.to_owned(),
            revision: self.revision.clone(),
            state: row.map_or("pending", |r| r.state.as_str()).to_owned(),
            exit_code: None,
            output: String::new(),
        };
        let done = matches!(run.state.as_str(), "succeeded" | "baseline");
        let gate = if done {
            Gate::open(format!(
                "The ledger holds {kind} {} at {}.",
                self.entry, self.revision
            ))
        } else {
            match state {
                JobState::Absent | JobState::Succeeded(_)
                    if row.is_none() && self.was_made(context, &state) =>
                {
                    once::INTERRUPTED.clone_into(&mut run.state);
                    once::forgotten(self.entry)
                }
                JobState::Absent => {
                    let name = self.job.clone();
                    self.create(context, bench, draft);
                    Gate::closed(busy, format!("Starting Job {name}."))
                }
                JobState::Running => Gate::closed(busy, waiting_for(context, &self.job)),
                // The Job says done and the ledger, read later, doesn't know of it: the data is older than the Job.
                JobState::Succeeded(job) => {
                    draft.delete.push(job.clone());
                    Gate::closed(
                        busy,
                        format!("The ledger doesn't hold {kind} {}: running it again.", self.entry),
                    )
                }
                JobState::Failed(job) if again(context, job) => {
                    draft.delete.push(job.clone());
                    Gate::closed(busy, format!("Running {kind} {} again, as asked.", self.entry))
                }
                JobState::Failed(_) => {
                    run.exit_code = row.and_then(|r| r.exit_code);
                    run.output = row
                        .map(|r| crate::status::bounded(&r.output_tail))
                        .unwrap_or_default();
                    self.explain(context, row, failed)
                }
            }
        };
        runs.push(run);
        gate
    }

    /// True for what must not run twice, and did run once by what its Job or status says. No retry is heard here: who asks
    /// for one may mean another run.
    fn was_made(&self, context: &Context, state: &JobState) -> bool {
        let told = || once::made(context).any(|r| r.name == self.entry && r.revision == self.revision);
        self.once && (matches!(state, JobState::Succeeded(_)) || told())
    }

    fn create(self, context: &Context, bench: &Bench, draft: &mut Draft) {
        let task = Task {
            name: self.job,
            role: self.role,
            entry: self.entry,
            revision: &self.revision,
            command: self.command,
            env: self.env,
            runner_args: self.args,
            retry: context.annotation(ANNOTATION_RETRY),
            account: "",
        };
        draft.want(job::task(
            context,
            &bench.revision.spec,
            bench.rendered,
            bench.binding,
            task,
        ));
    }

    fn explain(&self, context: &Context, row: Option<&LedgerRow>, failed: Reason) -> Gate {
        let kind = self.role.as_str();
        match row {
            Some(row) if row.state == once::INTERRUPTED && self.role == Role::Seed => Gate::closed(
                Reason::SeedInterrupted,
                format!(
                    "Seed {} was interrupted and isn't declared idempotent: look at its data, then run `accord-runner release` (Job {} says how), or declare it idempotent.",
                    self.entry, self.job
                ),
            ),
            Some(row) => {
                let code = row
                    .exit_code
                    .map(|c| format!(" with exit code {c}"))
                    .unwrap_or_default();
                let last = row.output_tail.trim().lines().last().unwrap_or_default();
                let released = crate::revision::released(context).is_some();
                Gate::closed(
                    failed,
                    format!(
                        "{}The {kind} {} ended{code}: {last}{} Mend the image or the command, or set the annotation {ANNOTATION_RETRY} to a new value.",
                        if self.role == Role::Seed {
                            elsewhere(context)
                        } else {
                            ""
                        },
                        self.entry,
                        if released {
                            " — released replicas serve on."
                        } else {
                            "."
                        }
                    ),
                )
            }
            None => Gate::closed(
                failed,
                format!("Job {} failed: {}", self.job, failure(context, &self.job)),
            ),
        }
    }
}

/// How far a Job is.
pub(super) enum JobState<'a> {
    /// There is none.
    Absent,
    /// It hasn't ended.
    Running,
    /// It did what it was for.
    Succeeded(&'a Object),
    /// It didn't, and isn't tried again.
    Failed(&'a Object),
}

/// How far the Job of a name is.
pub(super) fn job_state<'a>(context: &Context<'a>, name: &str) -> JobState<'a> {
    let Some(job) = context.observed.objects.get(Kind::Job, name) else {
        return JobState::Absent;
    };
    let holds = |kind: &str| {
        job.value["status"]["conditions"]
            .as_array()
            .is_some_and(|list| list.iter().any(|c| c["type"] == kind && c["status"] == "True"))
    };
    if holds("Complete") {
        JobState::Succeeded(job)
    } else if holds("Failed") {
        JobState::Failed(job)
    } else {
        JobState::Running
    }
}

/// True when a person asked for another try after this Job was made.
pub(super) fn again(context: &Context, job: &Object) -> bool {
    let asked = context.annotation(ANNOTATION_RETRY);
    !asked.is_empty() && job.annotation(ANNOTATION_RETRIED) != Some(asked)
}

fn pods<'a>(context: &'a Context<'_>, job: &'a str) -> impl Iterator<Item = &'a Object> {
    context
        .observed
        .objects
        .of(Kind::Pod)
        .filter(move |p| p.label("job-name") == Some(job))
}

/// What a running Job waits for.
pub(super) fn waiting_for(context: &Context, job: &str) -> String {
    let why = pods(context, job)
        .find_map(crate::phases::startup::not_starting)
        .map(|why| format!(": {why}"));
    format!("Job {job} is at work{}", why.unwrap_or_default())
}

/// The runner's last words, as kubelet keeps them.
pub(super) fn failure(context: &Context, job: &str) -> String {
    pods(context, job)
        .filter_map(|p| {
            let statuses = p.value["status"]["containerStatuses"].as_array()?;
            let text = statuses
                .iter()
                .find_map(|c| c["state"]["terminated"]["message"].as_str())?;
            let said: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
            Some(said["message"].as_str().unwrap_or(text).trim().to_owned())
        })
        .last()
        .unwrap_or_else(|| format!("see `kubectl logs job/{job}`"))
}
