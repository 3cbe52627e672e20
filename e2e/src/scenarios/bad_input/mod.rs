//! Bad input: each field of a declaration spoilt in every way that its type has, contradictions, hopeless values, broken
//! manifests, nonsense in annotations. It is refused with a sentence that names the field, or it is taken, and then the
//! operator says how it stands, users go on logging in, and what is taken back leaves nothing behind.
//!
//! Everything is asked of the API server without being stored; what it would take is then carried out: some of it in every
//! run, with `ACCORD_LONG=1` one for each field, and all hopeless values. `ACCORD_POINTS` says how many otherwise.

mod cycle;
mod hand;
mod manifest;
mod mutation;
mod refusal;
mod rich;
mod snapshot;

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use self::cycle::Subject;
use self::mutation::Mutation;
use self::refusal::By;
use self::snapshot::Snapshot;
use super::kit::{self, COME_UP, Kit};
use crate::api::Api;
use crate::cluster::Cluster;
use crate::demo::orders;
use crate::digest::Key;
use crate::images::Image;
use crate::progress;

/// How many changes are carried out in every run.
const CARRIED_OUT: usize = 4;
/// Where a change that is taken restarts the one pod of a store, and users wait: it is asked for and not carried out.
const STORES: &[&str] = &["spec.database.managed", "spec.cache.managed"];

pub(super) fn run(cluster: &Cluster) -> Result<()> {
    kit::with(cluster, "scenario-bad-input", "orders", |kit| {
        let subject = declared(kit)?;
        let mut told = String::new();
        let logins = kit::logins_go_on(kit, || {
            told = spoilt(&subject)?;
            Ok(())
        })?;
        Ok(format!("{told}; {logins} logins meanwhile, 0 failed"))
    })
}

/// Declares the rich service, and remembers what it came to.
fn declared<'a>(kit: &'a Kit<'a>) -> Result<Subject<'a>> {
    let image = kit.load(&Image::example("django-orders"))?;
    orders::demo_users(kit.cluster, kit.namespace, orders::USERS)?;
    let object = json!({
        "apiVersion": "accord.dev/v1alpha1", "kind": "AuthService", "metadata": {"name": kit.service.name},
        "spec": rich::spec(&image),
    });
    kit.declare(&object.to_string())?;
    let object = kit.ready(COME_UP)?;
    let api = Api::of(kit.cluster, kit.namespace)?;
    Ok(Subject {
        kit,
        before: Snapshot::take(kit, &api)?,
        api,
        spec: object["spec"].clone(),
    })
}

/// Asks, carries out, and says what came of it.
fn spoilt(subject: &Subject<'_>) -> Result<String> {
    let mut all = mutation::all(&schema(subject.kit)?, &subject.spec, &rich::examples());
    all.extend(hand::mutations(hand::CONTRADICTIONS, &subject.spec));
    let fields = asked(subject, all)?;
    let hopeless = asked(subject, hand::mutations(hand::HOPELESS, &subject.spec))?;
    let manifests = manifest::refused(subject)?;
    let counts = fields.counts.and(&hopeless.counts);
    progress::say(&format!("   {counts}; {manifests} broken manifests refused"));

    let chosen = chosen(hopeless.taken, one_each(fields.taken));
    let outcomes = carried_out(subject, &chosen)?;
    let annotations = manifest::annotated(subject)?;
    Ok(format!(
        "{counts}; {manifests} broken manifests refused; {} carried out and taken back: {outcomes}; {annotations} \
         annotations of nonsense",
        chosen.len(),
    ))
}

fn schema(kit: &Kit<'_>) -> Result<Value> {
    let crd = kit
        .cluster
        .kubectl(&["get", "crd", "authservices.accord.dev", "-o", "json"])?;
    let mut crd: Value = serde_json::from_str(&crd)?;
    let schema = crd.pointer_mut("/spec/versions/0/schema/openAPIV3Schema/properties/spec");
    Ok(schema.context("the CRD has no schema")?.take())
}

/// What the API server made of mutations.
struct Asked {
    counts: Counts,
    /// Those that it would store, and that change something.
    taken: Vec<Mutation>,
}

#[derive(Default)]
struct Counts {
    refused: BTreeMap<By, usize>,
    same: usize,
    taken: usize,
}

impl Counts {
    fn and(&self, other: &Self) -> Self {
        let mut refused = self.refused.clone();
        for (by, count) in &other.refused {
            *refused.entry(*by).or_default() += count;
        }
        Self {
            refused,
            same: self.same + other.same,
            taken: self.taken + other.taken,
        }
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let all = self.refused.values().sum::<usize>() + self.same + self.taken;
        write!(f, "{all} mutations: refused")?;
        for (index, (by, count)) in self.refused.iter().enumerate() {
            write!(
                f,
                "{} {count} by {}",
                if index == 0 { "" } else { "," },
                by.name()
            )?;
        }
        write!(f, ", {} without effect, {} taken", self.same, self.taken)
    }
}

/// Asks the API server without storing anything.
fn asked(subject: &Subject<'_>, mutations: Vec<Mutation>) -> Result<Asked> {
    let mut asked = Asked {
        counts: Counts::default(),
        taken: Vec::new(),
    };
    let mut wrong = Vec::new();
    for mutation in mutations {
        let reply = if mutation.unknown {
            subject.replace_strictly(&mutation.spec)?
        } else {
            subject.declare(&mutation.spec, "?dryRun=All")?
        };
        if reply.is_success() {
            if mutation.unknown {
                wrong.push(format!("{}: accepted", mutation.field));
            } else if reply.body["spec"] == subject.spec {
                asked.counts.same += 1;
            } else {
                asked.counts.taken += 1;
                asked.taken.push(mutation);
            }
            continue;
        }
        match refusal::judge(&mutation.field, &reply) {
            Ok(by) => *asked.counts.refused.entry(by).or_default() += 1,
            Err(why) => wrong.push(format!("{} {}: {why}", mutation.field, mutation.how)),
        }
    }
    ensure!(
        wrong.is_empty(),
        "{} refusals help nobody:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    Ok(asked)
}

/// One mutation of each field, drawn by the seed `ACCORD_SEED`.
fn one_each(taken: Vec<Mutation>) -> Vec<Mutation> {
    let seed = std::env::var("ACCORD_SEED").unwrap_or_default();
    let drawn = |m: &Mutation| {
        Key::default()
            .text("seed", &seed)
            .text("field", &m.field)
            .text("how", m.how)
            .finish()
    };
    let mut fields: BTreeMap<String, Mutation> = BTreeMap::new();
    for mutation in taken {
        if STORES.iter().any(|store| mutation.field.starts_with(store)) {
            continue;
        }
        match fields.get(&mutation.field) {
            Some(other) if drawn(other) <= drawn(&mutation) => {}
            _ => drop(fields.insert(mutation.field.clone(), mutation)),
        }
    }
    let mut drawn: Vec<(String, Mutation)> = fields.into_values().map(|m| (drawn(&m), m)).collect();
    drawn.sort_by(|a, b| a.0.cmp(&b.0));
    drawn.into_iter().map(|(_, mutation)| mutation).collect()
}

/// Which of them are carried out: as many of each list, as far as they go.
fn chosen(hopeless: Vec<Mutation>, fields: Vec<Mutation>) -> Vec<Mutation> {
    let all = hopeless.len() + fields.len();
    let points = std::env::var("ACCORD_POINTS").ok().and_then(|n| n.parse().ok());
    let points = points.unwrap_or(kit::either(CARRIED_OUT, all));
    let (mut hopeless, mut fields) = (hopeless.into_iter(), fields.into_iter());
    let mut chosen = Vec::with_capacity(all);
    while chosen.len() < all {
        chosen.extend(hopeless.next());
        chosen.extend(fields.next());
    }
    chosen.truncate(points);
    chosen
}

/// Carries them out, one after the other, and counts how the operator stood with each.
fn carried_out(subject: &Subject<'_>, chosen: &[Mutation]) -> Result<String> {
    let mut outcomes: BTreeMap<String, usize> = BTreeMap::new();
    let mut wrong = Vec::new();
    for (index, mutation) in chosen.iter().enumerate() {
        let what = format!(
            "{}/{} {} {}",
            index + 1,
            chosen.len(),
            mutation.field,
            mutation.how
        );
        match subject.carry_out(mutation) {
            Ok(rest) => {
                progress::say(&format!("   {what}: {rest}"));
                *outcomes.entry(rest.reason().to_owned()).or_default() += 1;
            }
            Err(error) => {
                progress::say(&format!("   {what}: {error:#}"));
                wrong.push(format!("{what}: {error:#}"));
                // The next one begins from what is good.
                let back = subject.declare(&subject.spec, "")?.object("taking it back")?;
                subject.as_before(&back)?;
            }
        }
    }
    ensure!(
        wrong.is_empty(),
        "{} of {} changes did harm:\n{}",
        wrong.len(),
        chosen.len(),
        wrong.join("\n")
    );
    let told: Vec<String> = outcomes.iter().map(|(what, n)| format!("{n} {what}")).collect();
    Ok(told.join(", "))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn mutation(field: &str, how: &'static str) -> Mutation {
        Mutation {
            field: field.to_owned(),
            how,
            unknown: false,
            spec: Value::Null,
        }
    }

    #[test]
    fn one_of_each_field_is_drawn_and_none_of_a_store() {
        let all = vec![
            mutation("spec.a", "x"),
            mutation("spec.a", "y"),
            mutation("spec.b", "x"),
            mutation("spec.cache.managed.image", "x"),
        ];
        let drawn = one_each(all);
        let fields: BTreeSet<&str> = drawn.iter().map(|m| m.field.as_str()).collect();
        assert_eq!((drawn.len(), fields), (2, BTreeSet::from(["spec.a", "spec.b"])));
    }

    #[test]
    fn both_lists_have_their_turn() {
        let of = |name: &str, n: usize| (0..n).map(|i| mutation(&format!("{name}{i}"), "x")).collect();
        let chosen = chosen(of("h", 2), of("f", 9));
        let names: Vec<&str> = chosen.iter().map(|m| m.field.as_str()).collect();
        assert_eq!(names, ["h0", "f0", "h1", "f1"]);
    }
}
