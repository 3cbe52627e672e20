//! Everything that Accord wants for each example, as YAML, in the states that matter. A change shows in review as what it
//! changes in the cluster.

use std::fs;
use std::path::{Path, PathBuf};

use accord_crds::AuthService;
use accord_crds::meta::LABEL_SERVICE;
use accord_plan::{Kind, Object};
use serde_json::{Value, json};

use crate::support::World;
use crate::support::world::SERVICE;

/// The declarations of all examples, by the name of their folder.
pub(crate) fn examples() -> Vec<(String, AuthService)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let mut found: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path().join("authservice.yaml"))
        .filter(|path| path.is_file())
        .collect();
    found.sort();
    let read = |path: PathBuf| {
        let name = path
            .parent()
            .unwrap()
            .file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned();
        let text = fs::read_to_string(&path).unwrap();
        (
            name,
            serde_saphyr::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display())),
        )
    };
    found.into_iter().map(read).collect()
}

/// A world with an example's declaration, and the Secrets that it names. Each goes by the one name that the fake's stores
/// know.
fn declared(example: &AuthService) -> World {
    let mut world = World::new();
    for variable in example.spec.seeds.iter().flat_map(|s| &s.env) {
        let secret = variable
            .value_from
            .as_ref()
            .and_then(|v| v.secret_key_ref.as_ref());
        if let Some(s) = &secret {
            world.occupy(Kind::Secret, &s.name);
        }
    }
    world.create(example.spec.clone());
    world
}

/// What Accord made, without what the cluster filled in. Contents of Secrets are named, not shown.
fn manifest(object: &Object) -> Value {
    let mut value = object.value.clone();
    for field in ["uid", "resourceVersion", "generation", "creationTimestamp"] {
        value["metadata"].as_object_mut().unwrap().remove(field);
    }
    value.as_object_mut().unwrap().remove("status");
    for owner in value["metadata"]["ownerReferences"]
        .as_array_mut()
        .into_iter()
        .flatten()
    {
        owner["uid"] = "…".into();
    }
    if object.key.kind == Kind::Secret {
        for secret in value["data"]
            .as_object_mut()
            .into_iter()
            .flat_map(serde_json::Map::values_mut)
        {
            *secret = "…".into();
        }
    }
    value
}

/// Objects by kind and name, and the status.
fn snapshot(name: &str, world: &World) {
    let by_cluster = [Kind::Pod, Kind::ReplicaSet, Kind::PersistentVolumeClaim];
    let objects: Vec<Value> = world
        .api
        .iter()
        .filter(|o| o.label(LABEL_SERVICE) == Some(SERVICE) && !by_cluster.contains(&o.key.kind))
        .map(|o| manifest(o))
        .collect();
    let mut status = json!(world.service.as_ref().unwrap().status);
    for condition in status["conditions"].as_array_mut().into_iter().flatten() {
        condition.as_object_mut().unwrap().remove("lastTransitionTime");
    }
    insta::assert_yaml_snapshot!(format!("{name} status"), status);
    insta::assert_yaml_snapshot!(format!("{name} objects"), objects);
}

#[test]
fn nothing_there() {
    for (name, example) in examples() {
        let mut world = declared(&example);
        world.pass();
        snapshot(&format!("{name}, first pass"), &world);
    }
}

#[test]
fn complete() {
    for (name, example) in examples() {
        let mut world = declared(&example);
        world.settle();
        snapshot(&format!("{name}, complete"), &world);
    }
}

/// The status tells what happened; the objects are those of the complete state, less or more a few.
fn status_and_names(name: &str, world: &World) {
    let mut names: Vec<String> = world.api.iter().map(|o| o.key.to_string()).collect();
    names.retain(|n| !n.starts_with("Pod/") && !n.starts_with("ReplicaSet/"));
    let mut status = json!(world.service.as_ref().unwrap().status);
    for condition in status["conditions"].as_array_mut().into_iter().flatten() {
        condition.as_object_mut().unwrap().remove("lastTransitionTime");
    }
    insta::assert_yaml_snapshot!(name, json!({"objects": names, "status": status}));
}

#[test]
fn failed_migration() {
    for (name, example) in examples() {
        let mut world = declared(&example);
        world.fate.fail("migration", &example.spec.image, 1);
        world.settle();
        status_and_names(&format!("{name}, failed migration"), &world);
    }
}

#[test]
fn diverging() {
    for (name, example) in examples() {
        let mut world = declared(&example);
        world.fate.diverging.insert(example.spec.image.clone());
        world.settle();
        status_and_names(&format!("{name}, diverging"), &world);
    }
}
