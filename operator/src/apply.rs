//! Carries out the plan's writes, in order. The only place that writes objects; it decides nothing but what to make of
//! the API server's answer.

use std::time::Duration;

use accord_crds::AuthService;
use accord_crds::meta::{FINALIZER, LABEL_SERVICE, MANAGER};
use accord_plan::observed::{Objects, RefusedWrite};
use accord_plan::outcome::{Action, GatePatch, Generate, Material};
use accord_plan::{Kind, Object, ObjectKey, labels};
use jiff::Timestamp;
use kube::api::{
    DeleteParams, DynamicObject, Patch, PatchParams, PostParams, Preconditions, PropagationPolicy,
};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Api, Client};
use serde_json::{Value, json};

use crate::error::{Error, Refusal};
use crate::index::{Key, Learned};
use crate::material;
use crate::metrics::Metrics;

/// What came of a plan's writes.
#[derive(Debug, Default)]
pub(crate) struct Applied {
    /// What the API server answered.
    pub(crate) learned: Vec<Learned>,
    /// The first error. The writes after it weren't made, gates of other pods apart.
    pub(crate) error: Option<Error>,
    /// When to look again, since something was written, or couldn't be yet.
    pub(crate) again: Option<Duration>,
    /// Writes that the API server refused for what is in them. Nothing rests on these: the others were made.
    pub(crate) refused: Vec<Error>,
}

/// What came of one write.
enum Done {
    /// It was made, and this is known now.
    Learned(Option<Learned>),
    /// It isn't allowed yet.
    NotYet,
}

/// After writes the next pass doesn't wait for a watch that may have shown them already.
const AFTER_WRITES: Duration = Duration::from_secs(1);
/// When a budget that forbade an eviction is asked again, if nothing happens before.
const EVICT_AGAIN: Duration = Duration::from_secs(30);

/// The API of a kind in a namespace.
pub(crate) fn api(client: &Client, kind: Kind, namespace: &str) -> Api<DynamicObject> {
    Api::namespaced_with(client.clone(), namespace, &resource(kind))
}

/// The resource of a kind.
pub(crate) fn resource(kind: Kind) -> ApiResource {
    let gvk = GroupVersionKind::gvk(kind.group(), kind.version(), kind.as_str());
    ApiResource::from_gvk_with_plural(&gvk, kind.plural())
}

/// An object as the core has it: with its kind, without the list of field managers.
pub(crate) fn object(kind: Kind, mut dynamic: DynamicObject) -> Object {
    dynamic.metadata.managed_fields = None;
    let name = dynamic.metadata.name.clone().unwrap_or_default();
    Object::new(kind, &name, &dynamic)
}

/// The writes to one service's objects.
pub(crate) struct Writer<'a> {
    /// The client.
    pub(crate) client: &'a Client,
    /// Counts the writes.
    pub(crate) metrics: &'a Metrics,
    /// The service.
    pub(crate) service: &'a AuthService,
    /// Its namespace.
    pub(crate) namespace: &'a str,
    /// Its name.
    pub(crate) name: &'a str,
}

impl Writer<'_> {
    /// Carries out the actions in order and stops at the first that fails, since later ones may rest on it. Gates stand
    /// each for itself: one pod that can't be patched must not keep the others out of traffic.
    pub(crate) async fn carry_out(&self, actions: &[Action], objects: &Objects) -> Applied {
        let mut applied = Applied::default();
        for action in actions {
            match self.one(action, objects).await {
                Ok(Done::Learned(learned)) => {
                    applied.learned.extend(learned);
                    applied.again = Some(AFTER_WRITES);
                }
                Ok(Done::NotYet) => drop(applied.again.get_or_insert(EVICT_AGAIN)),
                Err(error) if rests_on_nothing(action) && error.refuses_content() => {
                    if let Action::Create(object) | Action::Apply(object) | Action::Replace(object) = action {
                        applied.learned.push(refused(object, &error));
                    }
                    applied.refused.push(error);
                }
                Err(error) => {
                    if let Error::Conflict { key, .. } = &error {
                        applied.learned.push(Learned::Foreign(key.clone()));
                    }
                    let goes_on = matches!(error, Error::Gate { .. });
                    applied.error.get_or_insert(error);
                    if !goes_on {
                        break;
                    }
                }
            }
        }
        applied
    }

    async fn one(&self, action: &Action, objects: &Objects) -> Result<Done, Error> {
        let learned = match action {
            Action::Create(object) => self.create(object).await.map(Some),
            Action::Apply(object) => self.apply(object).await.map(Some),
            Action::Replace(object) => self.replace(object).await.map(Some),
            Action::Delete { key, uid } => self.delete(key, uid).await.map(Some),
            Action::Generate(generate) => self.generate(generate).await.map(Some),
            Action::Gate(patch) => self.gate(patch, objects).await,
            Action::Evict { pod, uid } => return self.evict(pod, uid).await,
            Action::Finalizer { present } => self.finalizer(*present).await,
        };
        learned.map(Done::Learned)
    }

    async fn create(&self, wanted: &Object) -> Result<Learned, Error> {
        let key = &wanted.key;
        let api = api(self.client, key.kind, self.namespace);
        self.count("create", key.kind.as_str());
        match api.create(&manager(), &dynamic(wanted)?).await {
            Ok(made) => Ok(Learned::Live(object(key.kind, made))),
            Err(kube::Error::Api(status)) if status.code == 409 && status.reason == "AlreadyExists" => {
                self.existing(&api, key).await
            }
            Err(error) => Err(Error::Create {
                key: key.clone(),
                source: Refusal::new(Some(key.kind), &error),
            }),
        }
    }

    /// An object of the name is there: ours, and the watch lags, or somebody's, and it is left alone.
    async fn existing(&self, api: &Api<DynamicObject>, key: &ObjectKey) -> Result<Learned, Error> {
        let there = api.get(&key.name).await.map_err(|error| Error::ReadExisting {
            key: key.clone(),
            source: Refusal::new(Some(key.kind), &error),
        })?;
        let there = object(key.kind, there);
        if there.label(LABEL_SERVICE) == Some(self.name) || self.controls(&there) {
            return Ok(Learned::Live(there));
        }
        Err(Error::Conflict {
            key: key.clone(),
            service: self.name.to_owned(),
        })
    }

    /// True for an object of ours whose label somebody took away: the next pass puts it back. A Job isn't changed any more.
    fn controls(&self, there: &Object) -> bool {
        match there.key.kind {
            Kind::Job => false,
            // What outlives its service has no owner; its other labels still say whose it is.
            Kind::ConfigMap if labels::name_service(there, self.name) => true,
            _ => self.service.metadata.uid.as_deref().is_some_and(|uid| {
                let owners = there.value["metadata"]["ownerReferences"].as_array();
                let mut owners = owners.into_iter().flatten();
                owners.any(|owner| owner["controller"] == true && owner["uid"] == uid)
            }),
        }
    }

    async fn apply(&self, wanted: &Object) -> Result<Learned, Error> {
        let key = &wanted.key;
        let params = PatchParams::apply(MANAGER).force();
        self.count("apply", key.kind.as_str());
        let answer = api(self.client, key.kind, self.namespace)
            .patch(&key.name, &params, &Patch::Apply(&wanted.value))
            .await;
        answer
            .map(|made| Learned::Live(object(key.kind, made)))
            .map_err(|error| Error::Apply {
                key: key.clone(),
                source: Refusal::new(Some(key.kind), &error),
            })
    }

    async fn replace(&self, wanted: &Object) -> Result<Learned, Error> {
        let key = &wanted.key;
        self.count("replace", key.kind.as_str());
        let answer = api(self.client, key.kind, self.namespace)
            .replace(&key.name, &manager(), &dynamic(wanted)?)
            .await;
        answer
            .map(|made| Learned::Live(object(key.kind, made)))
            .map_err(|error| Error::Replace {
                key: key.clone(),
                source: Refusal::new(Some(key.kind), &error),
            })
    }

    async fn delete(&self, key: &ObjectKey, uid: &str) -> Result<Learned, Error> {
        let params = DeleteParams {
            propagation_policy: Some(PropagationPolicy::Background),
            preconditions: Some(Preconditions {
                uid: Some(uid.to_owned()),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        let gone = || Learned::Gone {
            key: key.clone(),
            uid: uid.to_owned(),
        };
        self.count("delete", key.kind.as_str());
        match api(self.client, key.kind, self.namespace)
            .delete(&key.name, &params)
            .await
        {
            Ok(answer) => Ok(answer.left().map_or_else(gone, |ending| {
                let ending = object(key.kind, ending);
                // Without a grace period and finalizers the answer is the object as it was last.
                if ending.is_deleting() {
                    Learned::Live(ending)
                } else {
                    gone()
                }
            })),
            // Gone, or another one of the name: what was to be deleted isn't there.
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(gone()),
            Err(error) => Err(Error::Delete {
                key: key.clone(),
                source: Refusal::new(Some(key.kind), &error),
            }),
        }
    }

    async fn generate(&self, generate: &Generate) -> Result<Learned, Error> {
        let key = &generate.object.key;
        let authority_key = match &generate.material {
            Material::Certificate { ca_secret, .. } => Some(self.authority_key(ca_secret).await?),
            _ => None,
        };
        let made = material::make(&generate.material, authority_key.as_deref()).map_err(|source| {
            Error::Material {
                key: key.clone(),
                source,
            }
        })?;
        let mut object = generate.object.clone();
        for (name, value) in made {
            object.value["data"][name] = material::encode(&value).into();
        }
        self.create(&object).await
    }

    async fn authority_key(&self, secret: &str) -> Result<String, Error> {
        let key = ObjectKey::new(Kind::Secret, secret);
        let read = api(self.client, Kind::Secret, self.namespace).get(secret).await;
        let read = read.map_err(|error| Error::ReadAuthority {
            key: key.clone(),
            source: Refusal::new(Some(Kind::Secret), &error),
        })?;
        object(Kind::Secret, read)
            .secret_text("ca.key")
            .ok_or(Error::Material {
                key,
                source: material::Error::Authority,
            })
    }

    async fn gate(&self, patch: &GatePatch, objects: &Objects) -> Result<Option<Learned>, Error> {
        let before = objects.get(Kind::Pod, &patch.pod);
        let body = gate_body(patch, before, Timestamp::now());
        let params = PatchParams {
            field_manager: Some(MANAGER.to_owned()),
            ..PatchParams::default()
        };
        self.count("patch_status", Kind::Pod.as_str());
        match api(self.client, Kind::Pod, self.namespace)
            .patch_status(&patch.pod, &params, &Patch::Strategic(&body))
            .await
        {
            Ok(pod) => Ok(Some(Learned::Live(object(Kind::Pod, pod)))),
            // The pod is gone, or another one of the name came: that one has a gate of its own.
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(None),
            Err(error) => Err(Error::Gate {
                key: ObjectKey::new(Kind::Pod, &patch.pod),
                source: Refusal::new(Some(Kind::Pod), &error),
            }),
        }
    }

    async fn evict(&self, pod: &str, uid: &str) -> Result<Done, Error> {
        // By hand: kube's own call sends `delete_options`, which the API server doesn't know, so that the UID would be lost.
        let eviction = json!({
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": pod, "namespace": self.namespace},
            "deleteOptions": {"preconditions": {"uid": uid}},
        });
        self.count("evict", Kind::Pod.as_str());
        match api(self.client, Kind::Pod, self.namespace)
            .create_subresource::<_, Value>("eviction", pod, &manager(), &eviction)
            .await
        {
            Ok(_) => Ok(Done::Learned(None)),
            // Gone, or another one of the name.
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(Done::Learned(None)),
            // A PodDisruptionBudget doesn't allow it now.
            Err(kube::Error::Api(status)) if status.code == 429 => Ok(Done::NotYet),
            Err(error) => Err(Error::Evict {
                key: ObjectKey::new(Kind::Pod, pod),
                source: Refusal::new(Some(Kind::Pod), &error),
            }),
        }
    }

    /// Adds or removes the finalizer, and only that one, of the version that was looked at.
    pub(crate) async fn finalizer(&self, present: bool) -> Result<Option<Learned>, Error> {
        let before = self.service.metadata.finalizers.clone().unwrap_or_default();
        let mut after: Vec<_> = before.iter().filter(|f| *f != FINALIZER).cloned().collect();
        if present {
            after.push(FINALIZER.to_owned());
        }
        if before.len() == after.len() {
            return Ok(None);
        }
        let body = json!({"metadata": {
            "finalizers": after,
            "resourceVersion": self.service.metadata.resource_version,
            "uid": self.service.metadata.uid,
        }});
        let api: Api<AuthService> = Api::namespaced(self.client.clone(), self.namespace);
        let params = PatchParams {
            field_manager: Some(MANAGER.to_owned()),
            ..PatchParams::default()
        };
        self.count("patch", "AuthService");
        match api.patch(self.name, &params, &Patch::Merge(&body)).await {
            Ok(service) => Ok(Some(Learned::Service(service.into()))),
            Err(kube::Error::Api(status)) if status.code == 404 && !present => Ok(None),
            Err(error) => Err(Error::Finalizer {
                source: Refusal::new(None, &error),
            }),
        }
    }

    fn count(&self, verb: &'static str, kind: &'static str) {
        self.metrics.write(verb, kind);
    }
}

/// True for a write that no other one of the same pass rests on: pods are only started from what was seen written.
fn rests_on_nothing(action: &Action) -> bool {
    match action {
        Action::Create(object) | Action::Apply(object) | Action::Replace(object) => {
            !matches!(object.key.kind, Kind::Secret | Kind::ConfigMap)
        }
        _ => false,
    }
}

/// What is remembered of a refused write.
fn refused(object: &Object, error: &Error) -> Learned {
    let refused = RefusedWrite {
        revision: object.template_revision().map(str::to_owned),
        message: error.words().to_owned(),
    };
    Learned::Refused(object.key.clone(), refused)
}

/// One line for a pass that wrote something, none for one that didn't.
pub(crate) fn log((namespace, service): &Key, actions: &[Action], failed: bool) {
    if !actions.is_empty() {
        let what: Vec<_> = actions.iter().map(describe).collect();
        tracing::info!(namespace, service, what = what.join(", "), failed, "wrote");
    }
}

/// A write in a few words.
fn describe(action: &Action) -> String {
    match action {
        Action::Create(object) => format!("create {}", object.key),
        Action::Apply(object) => format!("apply {}", object.key),
        Action::Replace(object) => format!("replace {}", object.key),
        Action::Delete { key, .. } => format!("delete {key}"),
        Action::Generate(generate) => format!("generate {}", generate.object.key),
        Action::Gate(patch) => format!(
            "{} the gate of Pod/{}",
            if patch.open { "open" } else { "close" },
            patch.pod
        ),
        Action::Evict { pod, .. } => format!("evict Pod/{pod}"),
        Action::Finalizer { present } => format!("{} the finalizer", if *present { "add" } else { "remove" }),
    }
}

fn manager() -> PostParams {
    PostParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PostParams::default()
    }
}

fn dynamic(object: &Object) -> Result<DynamicObject, Error> {
    serde_json::from_value(object.value.clone()).map_err(|_| Error::Malformed {
        key: object.key.clone(),
    })
}

/// The patch of a gate. `lastTransitionTime` moves only when the status does.
fn gate_body(patch: &GatePatch, before: Option<&Object>, now: Timestamp) -> Value {
    let status = if patch.open { "True" } else { "False" };
    let since = before
        .filter(|pod| pod.uid() == patch.uid)
        .and_then(|pod| {
            pod.value["status"]["conditions"]
                .as_array()?
                .iter()
                .find(|c| c["type"] == accord_crds::meta::GATE_AGREES)
        })
        .filter(|condition| condition["status"] == status)
        .and_then(|condition| condition["lastTransitionTime"].as_str().map(str::to_owned))
        .unwrap_or_else(|| now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
    json!({
        "metadata": {"uid": patch.uid},
        "status": {"conditions": [{
            "type": accord_crds::meta::GATE_AGREES,
            "status": status,
            "reason": patch.reason,
            "message": patch.message,
            "lastTransitionTime": since,
        }]},
    })
}

#[cfg(test)]
mod tests;
