//! The plan: from a declaration and what is observed to the writes that are missing and the status that is true.

use std::time::Duration;

use accord_crds::meta::{ANNOTATION_RETRY, FINALIZER, LABEL_SERVICE};
use accord_crds::observe::Mode;
use accord_crds::spec::DeletionPolicy;
use accord_crds::status::{AuthServiceStatus, CandidateState, Run};
use accord_crds::{AuthService, ConditionType, Reason};

use crate::binding::Audience;
use crate::context::Context;
use crate::diff;
use crate::gate::Gate;
use crate::identity;
use crate::key::Kind;
use crate::observe;
use crate::observed::Observed;
use crate::outcome::{Action, Checks, Event, Plan};
use crate::phases::cutover::{self, Stage};
use crate::phases::preflight::When;
use crate::phases::runs::Bench;
use crate::phases::{
    Draft, credentials, data_stores, edge, isolation, once, preflight, runs, startup, verification, workload,
};
use crate::probe::ProbeRequest;
use crate::prune;
use crate::revision::{self, Revision};
use crate::status::{self, Findings};

/// What is to be done about one service.
pub fn plan(service: &AuthService, observed: &Observed) -> Plan {
    let context = Context::new(service, observed);
    if observed.settings.observe_only && service.spec.mode != Some(Mode::Observe) {
        return observe::not_ours(&context);
    }
    if service.metadata.deletion_timestamp.is_some() {
        return prune::farewell(&context);
    }
    if service.spec.mode == Some(Mode::Observe) {
        return observe::plan(&context, observed.contradiction.clone());
    }
    let (declared, released) = (context.declared().clone(), context.released().cloned());
    let cutover = context.cutover();
    if let Some(message) = &observed.contradiction {
        return refused(
            &context,
            &declared,
            released.as_ref(),
            Reason::InvalidSpec,
            message.clone(),
        );
    }

    // 1 Credentials and data stores: what all revisions share.
    let mut draft = Draft::default();
    let mut checks = Checks::default();
    let mut gates = Vec::new();
    let credentials = credentials::run(&context, &mut draft);
    let stores = if credentials.is_open() {
        data_stores::run(&context, &mut draft, &mut checks)
    } else {
        waiting()
    };
    let shared = credentials.is_open() && stores.is_open();
    gates.push((ConditionType::CredentialsReady, credentials));
    gates.push((ConditionType::DataStoresReady, stores));

    // 2 Migration, seeds, canary and preflight of the declared revision. A closed gate stops promotion only.
    let switched = cutover.stage == Stage::Switched;
    let withdrawn = withdrawn(&context, &declared, released.as_ref()).filter(|_| !switched);
    let mut runs = Vec::new();
    let sources = workload::sources(&context);
    let unchanged = released.as_ref().is_some_and(|r| r.digest == declared.digest);
    let mut prepared = prepare(
        &context,
        &declared,
        sources.as_ref(),
        &checks,
        shared,
        &mut draft,
        &mut runs,
    );
    // A blip doesn't take back what was begun: only a withdrawal does.
    let under_way = withdrawn.is_none() && workload::is_rolled(&context, &declared);
    if unchanged || under_way {
        for (_, gate) in &mut prepared {
            remember(gate);
        }
    }
    let begun = unchanged || under_way;
    let through = shared && prepared.iter().all(|(_, gate)| gate.is_open());
    let when = match (begun, through) {
        (true, _) => When::Begun,
        (false, true) => When::Now,
        (false, false) => When::TooEarly,
    };
    let (preflight, asked_of_image) = preflight::run(&context, &declared, sources.as_ref(), when, &mut draft);
    prepared.push((ConditionType::PreflightPassed, preflight));
    let promotable = prepared.iter().all(|(_, gate)| gate.is_open()) && withdrawn.is_none();
    gates.extend(prepared);

    // 3 The servers: of the declared revision once it is prepared, else of the released one.
    let rolls = (promotable || begun) && !cutover.holds_back(&declared);
    let serving = if rolls { Some(&declared) } else { released.as_ref() };
    let kept_to = cutover::keep_to(&context, rolls, cutover::may_switch(&context));
    workload::run(
        &context,
        &mut draft,
        serving,
        sources.as_ref(),
        kept_to.as_deref(),
    );
    let workload = workload::gate(&context, serving);

    // 4 Verification: pod by pod, as their containers come up.
    let consistency = verification::consistency(&context);
    let verified = verification::gate(&context, serving, &consistency);
    let agreed = workload.is_open() && verified.is_open();
    gates.push((ConditionType::WorkloadReady, workload));
    gates.push((ConditionType::ReplicasAgree, verified));

    // 5 Promotion: what passed every gate is released, and so is what users were switched to. No replica proves nothing, and
    // no revision is proved by another one that serves while it is held back.
    let is_recorded = unchanged && revision::is_latest(&context, &declared);
    if agreed && rolls && promotable && !is_recorded && service.spec.replicas > 0 {
        draft.want(revision::record(&context, &declared));
    } else if let Some(switched) = revision::switched(&context) {
        draft.want(revision::record(&context, switched));
    } else if cutover.stage == Stage::Proving && rolls {
        draft.want(revision::announce(&context, &declared));
    }

    let recorded = identity::updated(&context);
    let obstacle = conflict(&draft, &context)
        .map(|message| (Reason::Conflict, message))
        .or_else(|| Some((Reason::WriteRefused, refused_write(&draft, observed)?)));
    let findings = Findings {
        gates,
        obstacle,
        released: released.as_ref(),
        declared: &declared,
        withdrawn,
        rolling: promotable || under_way,
    };
    let rest = AuthServiceStatus {
        consistency: Some(consistency),
        identity: Some(recorded.identity),
        runs,
        preflight: asked_of_image,
        ..AuthServiceStatus::default()
    };
    let status = status::compose(&context, &findings, rest);
    let followed = follow(&context);
    let mut events = status::news(&context, &status);
    events.extend(prune::notice(&context));
    events.extend(followed.events);
    let probe = asked(&context, verification::request(&context, serving, &checks));
    Plan {
        actions: actions(&context, draft, followed.gates, followed.eviction),
        status,
        checks,
        probe,
        events,
        requeue: [followed.due, startup::due(&context, &declared.digest)]
            .into_iter()
            .flatten()
            .min(),
        finished: false,
    }
}

fn waiting() -> Gate {
    Gate::closed(
        Reason::WaitingForEarlierPhase,
        "An earlier phase has to finish first.",
    )
}

/// What was recorded when the revision was rolled out still holds while the ledger can't be asked.
fn remember(gate: &mut Gate) {
    if matches!(
        gate.reason(),
        Some(Reason::LedgerUnreadable | Reason::WaitingForEarlierPhase)
    ) {
        *gate = Gate::open("Recorded before this revision was rolled out.");
    }
}

/// Migration, seeds, canary: the first closed gate stops those after it.
fn prepare(
    context: &Context,
    declared: &Revision,
    sources: Option<&crate::binding::Sources>,
    checks: &Checks,
    shared: bool,
    draft: &mut Draft,
    done: &mut Vec<Run>,
) -> Vec<(ConditionType, Gate)> {
    let bound = sources
        .filter(|_| shared)
        .and_then(|s| workload::bind(context, declared, s, Audience::Job));
    let Some((rendered, binding)) = bound else {
        return vec![
            (ConditionType::Migrated, waiting()),
            (ConditionType::Seeded, waiting()),
        ];
    };
    let ledger = data_stores::ledger(context, checks);
    let bench = Bench {
        revision: declared,
        rendered: &rendered,
        binding: &binding,
        ledger,
    };
    let before = draft.desired.len();
    let migration = runs::migration(context, &bench, draft, done);
    let seeds = if migration.is_open() {
        runs::seeds(context, &bench, draft, done)
    } else {
        waiting()
    };
    let seeds = if seeds.is_open() {
        let canary = runs::canary(context, &bench, draft);
        if canary.is_open() { seeds } else { canary }
    } else {
        seeds
    };
    once::remember(context, declared, done);
    // The collector takes the binding Secret with a Job that is run again: a running one needs it too.
    let starting = draft.desired[before..].iter().any(|o| o.key.kind == Kind::Job);
    if starting || workload::is_named_by_running_job(context, &binding) {
        let jobs = draft.desired.split_off(before);
        workload::want_binding(context, draft, &binding, &rendered);
        draft.desired.extend(jobs);
    }
    vec![
        (ConditionType::Migrated, migration),
        (ConditionType::Seeded, seeds),
    ]
}

/// Why the declared revision was withdrawn, or is to be: pods that don't start, or that don't agree, while another revision
/// is released. It stays withdrawn until the declaration or the annotation `accord.dev/retry` changes.
fn withdrawn(
    context: &Context,
    declared: &Revision,
    released: Option<&Revision>,
) -> Option<(Reason, String)> {
    released.filter(|r| r.digest != declared.digest)?;
    let retry = context.annotation(ANNOTATION_RETRY);
    let stored = context.stored_status().and_then(|s| s.candidate.as_ref());
    // A cutover is meant although it was withdrawn: it was accepted since.
    let stored = stored.filter(|_| context.cutover().cause.is_none());
    if let Some(before) = stored
        .filter(|c| c.state == CandidateState::Withdrawn && c.revision == declared.digest && c.retry == retry)
    {
        let reason = Reason::ALL
            .iter()
            .copied()
            .find(|r| r.as_str() == before.reason)
            .unwrap_or(Reason::CandidateWithdrawn);
        return Some((reason, before.message.clone()));
    }
    if let Some(why) = workload::refused(context, &declared.digest) {
        return Some((Reason::WriteRefused, why));
    }
    let not_starting = startup::hopeless(context, &declared.digest).map(|why| (Reason::PodsNotStarting, why));
    not_starting.or_else(|| verification::divergence(context))
}

/// A declaration that contradicts itself changes nothing: what runs goes on, and goes on being proved.
fn refused(
    context: &Context,
    declared: &Revision,
    released: Option<&Revision>,
    reason: Reason,
    message: String,
) -> Plan {
    let findings = Findings {
        gates: Vec::new(),
        obstacle: Some((reason, message)),
        released,
        declared,
        withdrawn: None,
        rolling: false,
    };
    let rest = AuthServiceStatus {
        consistency: Some(verification::consistency(context)),
        identity: Some(context.identity.identity.clone()),
        preflight: context.stored_status().and_then(|s| s.preflight.clone()),
        ..AuthServiceStatus::default()
    };
    let status = status::compose(context, &findings, rest);
    let followed = follow(context);
    let mut events = status::news(context, &status);
    events.extend(followed.events);
    Plan {
        actions: followed.gates.into_iter().chain(followed.eviction).collect(),
        status,
        probe: asked(
            context,
            verification::request(context, released, &Checks::default()),
        ),
        events,
        requeue: followed.due,
        ..Plan::default()
    }
}

/// Nobody is asked as a canary that isn't there yet: it would look like a fault of the pods.
fn asked(context: &Context, request: Option<ProbeRequest>) -> Option<ProbeRequest> {
    let mut request = request?;
    if !runs::is_provisioned(context) {
        request.targets.clear();
    }
    Some(request)
}

/// What follows from the verdicts for the pods.
struct Followed {
    gates: Vec<Action>,
    eviction: Option<Action>,
    events: Vec<Event>,
    due: Option<Duration>,
}

fn follow(context: &Context) -> Followed {
    let gates = isolation::gates(context);
    let eviction = isolation::eviction(context);
    let mut events = isolation::news(&gates);
    events.extend(eviction.event);
    events.extend(edge::news(context));
    Followed {
        gates: gates.into_iter().map(Action::Gate).collect(),
        eviction: eviction.action,
        events,
        due: eviction.due,
    }
}

/// An object that is wanted and exists as somebody else's.
fn conflict(draft: &Draft, context: &Context) -> Option<String> {
    let wanted = draft
        .desired
        .iter()
        .map(|o| &o.key)
        .chain(draft.generate.iter().map(|g| &g.object.key));
    let key = wanted
        .into_iter()
        .find(|key| context.observed.foreign.contains(key))?;
    Some(format!(
        "{} {} exists and isn't Accord's: it is left alone. Rename or remove it, or give the AuthService another name. If it is this service's own and lost its label: put {LABEL_SERVICE}={} back.",
        key.kind.as_str(),
        key.name,
        context.service.metadata.name.as_deref().unwrap_or_default()
    ))
}

/// A write that is wanted and was refused.
fn refused_write(draft: &Draft, observed: &Observed) -> Option<String> {
    draft
        .desired
        .iter()
        .find_map(|object| Some(observed.refusal(object)?.told(&object.key)))
}

/// The writes that are missing, in the order of the phases.
fn actions(context: &Context, draft: Draft, gates: Vec<Action>, eviction: Option<Action>) -> Vec<Action> {
    let objects = &context.observed.objects;
    let foreign = &context.observed.foreign;
    let mut actions: Vec<Action> = prune::finalizer(context).into_iter().collect();
    // A container that isn't the proved one must not take traffic a moment longer.
    actions.extend(gates);
    actions.extend(
        draft
            .generate
            .into_iter()
            .filter(|g| {
                objects.get(Kind::Secret, &g.object.key.name).is_none() && !foreign.contains(&g.object.key)
            })
            .map(Action::Generate),
    );
    for desired in draft.desired {
        // What rests on somebody else's contents isn't written either: it comes after them.
        let contents = matches!(desired.key.kind, Kind::Secret | Kind::ConfigMap);
        if contents && foreign.contains(&desired.key) {
            break;
        }
        let live = objects.get(desired.key.kind, &desired.key.name);
        // A Job can't be changed, and needn't be: its name holds its revision.
        let settled = foreign.contains(&desired.key)
            || context.observed.refusal(&desired).is_some()
            || (desired.key.kind == Kind::Job && live.is_some());
        // What is being deleted comes back once it is gone.
        if settled || live.is_some_and(crate::key::Object::is_deleting) {
            continue;
        }
        actions.extend(diff::change(&desired, live));
    }
    actions.extend(workload::owners(context).into_iter().map(Action::Replace));
    let doomed = draft
        .delete
        .into_iter()
        .chain(prune::jobs(context))
        .chain(revision::superfluous(context));
    for object in doomed.filter(|o| !o.is_deleting()) {
        actions.push(Action::Delete {
            uid: object.uid().to_owned(),
            key: object.key,
        });
    }
    // Last: nothing rests on it.
    actions.extend(eviction);
    actions
}

/// True when the service asks for its data to be deleted with it.
pub(crate) fn deletes_data(service: &AuthService) -> bool {
    service.spec.deletion_policy == DeletionPolicy::Delete
}

/// True when the finalizer is set.
pub(crate) fn has_finalizer(service: &AuthService) -> bool {
    service
        .metadata
        .finalizers
        .iter()
        .flatten()
        .any(|f| f == FINALIZER)
}
