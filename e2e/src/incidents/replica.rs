//! A database with a streaming replica that applies what it gets after a delay, as plain pods: somebody else's servers to
//! the service under test.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::demo::service::is_ready;
use crate::images::Image;
use crate::wait::{Seen, wait};

/// Longer than any visit takes.
const DELAY: &str = "20s";
/// Only in a namespace that is deleted, and on the embedded cluster only.
const PASSWORD: &str = "only-for-this-incident-0123456789";
const COME_UP: Duration = Duration::from_mins(2);
/// `postgres` in the image.
const USER: u32 = 999;

/// The roles are made before the server listens; the password isn't on a command line.
const PRIMARY: &str = r#"
set -e
initdb --no-sync --username=postgres --auth=scram-sha-256 --pwfile=/etc/stores/password --pgdata="$PGDATA" >/dev/null
printf 'host %s all all scram-sha-256\n' replication all >>"$PGDATA/pg_hba.conf"
printf '%s\n' "CREATE ROLE orders LOGIN PASSWORD '$(cat /etc/stores/password)'" 'CREATE DATABASE orders OWNER orders' |
    postgres --single -D "$PGDATA" postgres >/dev/null
exec postgres -c listen_addresses='*' -c unix_socket_directories=/tmp -c fsync=off
"#;
const STANDBY: &str = r#"
set -e
export PGPASSWORD="$(cat /etc/stores/password)"
until pg_isready -q -h database; do sleep 0.5; done
pg_basebackup --no-sync --write-recovery-conf --checkpoint=fast -h database -U postgres -D "$PGDATA"
exec postgres -c listen_addresses='*' -c unix_socket_directories=/tmp -c "recovery_min_apply_delay=$DELAY"
"#;

/// Runs both, and declares them: servers are told of the replica under `DATABASE_REPLICA_URL`.
pub(super) fn stores(cluster: &Cluster, namespace: &str, yaml: &str) -> Result<String> {
    let image = cluster
        .load(&Image::Postgres)?
        .context("the embedded cluster's images are built here")?
        .reference;
    let uri = |host: &str| format!("postgres://orders:{PASSWORD}@{host}.{namespace}.svc:5432/orders");
    let secret = |name: &str, data: Value| json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data});
    let items = [
        secret("stores", json!({"password": PASSWORD})),
        secret(
            "my-database",
            json!({"uri": uri("database"), "replicaUri": uri("database-replica")}),
        ),
        service("database"),
        service("database-replica"),
        server("database", &image, PRIMARY),
        server("database-replica", &image, STANDBY),
    ];
    let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
    cluster.apply_in(namespace, &list.to_string())?;
    wait(
        cluster,
        namespace,
        "the database and its replica",
        COME_UP,
        || {
            let pods = cluster.list("pods", namespace, "incident=stores")?;
            let ready = pods.iter().filter(|pod| is_ready(pod)).count();
            Ok(if ready == 2 {
                Seen::Done(())
            } else {
                Seen::NotYet(format!("{ready} of 2"))
            })
        },
    )?;
    let managed = "database: {managed: {}}";
    ensure!(
        yaml.matches(managed).count() == 1,
        "the declaration has no {managed:?}"
    );
    let declared = yaml.replace(managed, "database: {external: {secretRef: {name: my-database}}}");
    Ok(format!(
        "{}\n  bindings: [{{env: DATABASE_REPLICA_URL, source: database.replicaUri}}]\n",
        declared.trim_end()
    ))
}

fn service(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
           "spec": {"selector": {"store": name}, "ports": [{"port": 5432}]}})
}

fn server(name: &str, image: &str, script: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod",
    "metadata": {"name": name, "labels": {"incident": "stores", "store": name}},
    "spec": {
        "terminationGracePeriodSeconds": 1,
        "securityContext": {"runAsUser": USER, "runAsGroup": USER, "fsGroup": USER},
        "containers": [{
            "name": "postgres", "image": image, "command": ["bash", "-c", script],
            "env": [{"name": "PGDATA", "value": "/data/pg"}, {"name": "DELAY", "value": DELAY}],
            "readinessProbe": {"exec": {"command": ["pg_isready", "-h", "127.0.0.1"]}, "periodSeconds": 1},
            "volumeMounts": [
                {"name": "data", "mountPath": "/data"},
                {"name": "stores", "mountPath": "/etc/stores"}
            ]
        }],
        "volumes": [{"name": "data", "emptyDir": {}}, {"name": "stores", "secret": {"secretName": "stores"}}]
    }})
}
