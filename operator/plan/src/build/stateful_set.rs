//! Managed data stores: one instance each, with a volume that outlives it.

use accord_crds::spec::{ManagedCache, ManagedDatabase, Storage};
use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetSpec};
use k8s_openapi::api::core::v1::{
    ConfigMapVolumeSource, Container, ContainerPort, EmptyDirVolumeSource, ExecAction, Lifecycle,
    LifecycleHandler, PersistentVolumeClaim, PersistentVolumeClaimSpec, PodSpec, PodTemplateSpec, Probe,
    Volume, VolumeResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::build::pod;
use crate::context::Context;
use crate::identity::SYSTEM_IDENTIFIER;
use crate::key::{Kind, Object};
use crate::labels::{self, Role};

/// The uid of `postgres` in the official image, and what images for Accord are built with.
const POSTGRES_USER: i64 = 999;
const POSTGRES_DATA: &str = "/var/lib/postgresql/data/pgdata";
/// Connections that managed Postgres accepts. A fixed number: changing it restarts the server.
pub const POSTGRES_CONNECTIONS: i32 = 200;

/// How the script below begins to say that data was here and is gone.
pub const EMPTY: &str = "accord: the volume is empty";

/// `initdb` runs on an empty volume only, and never once an identity is recorded: an empty volume is then a lost one.
const INITDB: &str = r#"set -eu
data="$1"; recorded="$2"
if [ -s "$data/PG_VERSION" ]; then
  have=$(cat "$data/PG_VERSION"); want=$(postgres --version | sed 's/[^0-9]*\([0-9]*\).*/\1/')
  if [ "$have" != "$want" ]; then
    echo "accord: the volume holds data of Postgres $have, the image runs Postgres $want: go back to an image of $have, or dump and restore" | tee /dev/termination-log >&2
    exit 1
  fi
  exit 0
fi
if [ -s "$recorded" ]; then
  echo "accord: the volume is empty, but database $(cat "$recorded") was here: restore the volume; nothing is initialised anew" | tee /dev/termination-log >&2
  exit 1
fi
rm -rf "$data.new"
initdb --pgdata "$data.new" --username postgres --pwfile /etc/accord/passwords/superuser --auth scram-sha-256 --encoding UTF8 --locale C.UTF-8 --data-checksums
printf 'local all all scram-sha-256\nhostssl all all all scram-sha-256\n' > "$data.new/pg_hba.conf"
mv "$data.new" "$data"
"#;

/// Managed Postgres.
pub fn postgres(context: &Context, managed: &ManagedDatabase) -> Object {
    let name = context.names.postgres();
    let image = managed
        .image
        .clone()
        .unwrap_or_else(|| context.observed.settings.postgres_image.clone());
    let data_mount = || {
        vec![
            pod::mount("data", "/var/lib/postgresql/data", false),
            pod::mount("tmp", "/tmp", false),
        ]
    };
    let mut init_mounts = data_mount();
    init_mounts.push(pod::mount("passwords", "/etc/accord/passwords", true));
    init_mounts.push(pod::mount("identity", "/etc/accord/identity", true));
    let mut mounts = data_mount();
    mounts.push(pod::mount("tls", "/etc/accord/tls", true));
    let setting = |s: &str| ["-c".to_owned(), s.to_owned()];
    let mut command = vec!["postgres".to_owned(), "-D".into(), POSTGRES_DATA.into()];
    for s in [
        "listen_addresses=*".to_owned(),
        "unix_socket_directories=/tmp".into(),
        "ssl=on".into(),
        "ssl_cert_file=/etc/accord/tls/tls.crt".into(),
        "ssl_key_file=/etc/accord/tls/tls.key".into(),
        "ssl_min_protocol_version=TLSv1.2".into(),
        "password_encryption=scram-sha-256".into(),
        format!("max_connections={POSTGRES_CONNECTIONS}"),
        "tcp_keepalives_idle=60".into(),
    ] {
        command.extend(setting(&s));
    }
    let exec = |args: &[&str]| ExecAction {
        command: Some(args.iter().map(|s| (*s).to_owned()).collect()),
    };
    let ready = Probe {
        exec: Some(exec(&["pg_isready", "-h", "127.0.0.1"])),
        period_seconds: Some(2),
        timeout_seconds: Some(5),
        ..Probe::default()
    };
    let resources = managed.resources.clone();
    let resources = resources
        .unwrap_or_else(|| pod::resources(&[("cpu", "100m"), ("memory", "256Mi")], &[("memory", "1Gi")]));
    let init = Container {
        name: "initdb".into(),
        image: Some(image.clone()),
        command: Some(
            [
                "sh",
                "-c",
                INITDB,
                "initdb",
                POSTGRES_DATA,
                &format!("/etc/accord/identity/{SYSTEM_IDENTIFIER}"),
            ]
            .map(str::to_owned)
            .into(),
        ),
        volume_mounts: Some(init_mounts),
        security_context: Some(pod::restricted(true)),
        resources: Some(pod::resources(&[("cpu", "50m"), ("memory", "64Mi")], &[])),
        ..Container::default()
    };
    let server = Container {
        name: "postgres".into(),
        image: Some(image),
        command: Some(command),
        ports: Some(vec![port("postgres", 5432)]),
        // Recovery after a crash may take long: no liveness probe ever ends it.
        startup_probe: Some(Probe {
            failure_threshold: Some(1800),
            ..ready.clone()
        }),
        readiness_probe: Some(ready),
        // SIGTERM would wait for every client to leave; fast ends their sessions and shuts down cleanly.
        lifecycle: Some(Lifecycle {
            pre_stop: Some(LifecycleHandler {
                exec: Some(exec(&[
                    "pg_ctl",
                    "stop",
                    "-D",
                    POSTGRES_DATA,
                    "-m",
                    "fast",
                    "-t",
                    "50",
                ])),
                ..LifecycleHandler::default()
            }),
            ..Lifecycle::default()
        }),
        volume_mounts: Some(mounts),
        security_context: Some(pod::restricted(true)),
        resources: Some(resources),
        ..Container::default()
    };
    let volumes = vec![
        scratch("tmp"),
        pod::secret_volume("passwords", &context.names.database_secret(), &["superuser"]),
        pod::secret_volume("tls", &context.names.postgres_tls(), &["tls.crt", "tls.key"]),
        Volume {
            name: "identity".into(),
            config_map: Some(ConfigMapVolumeSource {
                name: context.names.identity(),
                optional: Some(true),
                ..ConfigMapVolumeSource::default()
            }),
            ..Volume::default()
        },
    ];
    let pod = store_pod(vec![init], server, volumes, POSTGRES_USER);
    stateful_set(context, &name, Role::Postgres, pod, managed.storage.as_ref())
}

/// Managed cache.
pub fn cache(context: &Context, managed: &ManagedCache) -> Object {
    const START: &str = r#"set -eu
umask 077
{ cat /etc/accord/config/valkey.conf; printf 'requirepass "%s"\n' "$(cat /etc/accord/auth/password)"; } > /run/valkey/valkey.conf
exec "$(command -v valkey-server || command -v redis-server)" /run/valkey/valkey.conf"#;
    const PING: &str = r#"REDISCLI_AUTH=$(cat /etc/accord/auth/password) "$(command -v valkey-cli || command -v redis-cli)" --tls --cacert /etc/accord/tls/ca.crt -h localhost ping | grep -q PONG"#;
    let name = context.names.cache();
    let image = managed
        .image
        .clone()
        .unwrap_or_else(|| context.observed.settings.valkey_image.clone());
    let ready = Probe {
        exec: Some(ExecAction {
            command: Some(["sh", "-c", PING].map(str::to_owned).into()),
        }),
        period_seconds: Some(3),
        timeout_seconds: Some(5),
        ..Probe::default()
    };
    let server = Container {
        name: "cache".into(),
        image: Some(image),
        command: Some(["sh", "-c", START].map(str::to_owned).into()),
        ports: Some(vec![port("cache", 6379)]),
        startup_probe: Some(Probe {
            failure_threshold: Some(600),
            ..ready.clone()
        }),
        readiness_probe: Some(ready),
        volume_mounts: Some(vec![
            pod::mount("data", "/data", false),
            pod::mount("run", "/run/valkey", false),
            pod::mount("config", "/etc/accord/config", true),
            pod::mount("auth", "/etc/accord/auth", true),
            pod::mount("tls", "/etc/accord/tls", true),
        ]),
        security_context: Some(pod::restricted(true)),
        resources: Some(cache_resources(managed)),
        ..Container::default()
    };
    let volumes = vec![
        scratch("run"),
        Volume {
            name: "config".into(),
            config_map: Some(ConfigMapVolumeSource {
                name: context.names.cache_config(),
                ..ConfigMapVolumeSource::default()
            }),
            ..Volume::default()
        },
        pod::secret_volume("auth", &context.names.cache_secret(), &["password"]),
        pod::secret_volume(
            "tls",
            &context.names.cache_tls(),
            &["tls.crt", "tls.key", "ca.crt"],
        ),
    ];
    let pod = store_pod(Vec::new(), server, volumes, POSTGRES_USER);
    stateful_set(context, &name, Role::Cache, pod, managed.storage.as_ref())
}

/// CPU and memory of the cache.
pub fn cache_resources(managed: &ManagedCache) -> k8s_openapi::api::core::v1::ResourceRequirements {
    managed
        .resources
        .clone()
        .unwrap_or_else(|| pod::resources(&[("cpu", "50m"), ("memory", "64Mi")], &[("memory", "256Mi")]))
}

fn port(name: &str, number: i32) -> ContainerPort {
    ContainerPort {
        name: Some(name.into()),
        container_port: number,
        protocol: Some("TCP".into()),
        ..ContainerPort::default()
    }
}

fn scratch(name: &str) -> Volume {
    Volume {
        name: name.into(),
        empty_dir: Some(EmptyDirVolumeSource::default()),
        ..Volume::default()
    }
}

fn store_pod(init: Vec<Container>, server: Container, volumes: Vec<Volume>, user: i64) -> PodSpec {
    PodSpec {
        init_containers: (!init.is_empty()).then_some(init),
        containers: vec![server],
        volumes: Some(volumes),
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        security_context: Some(pod::security(Some(user))),
        termination_grace_period_seconds: Some(60),
        ..PodSpec::default()
    }
}

fn stateful_set(
    context: &Context,
    name: &str,
    role: Role,
    pod: PodSpec,
    storage: Option<&Storage>,
) -> Object {
    let service = context.names.service();
    let set = StatefulSet {
        metadata: labels::owned(context.service, name, role),
        spec: Some(StatefulSetSpec {
            replicas: Some(1),
            service_name: Some(name.to_owned()),
            selector: labels::label_selector(service, role),
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta {
                    labels: Some(labels::labels(service, role, None)),
                    ..ObjectMeta::default()
                }),
                spec: Some(pod),
            },
            volume_claim_templates: Some(vec![claim(service, role, storage)]),
            ..StatefulSetSpec::default()
        }),
        ..StatefulSet::default()
    };
    let mut object = Object::new(Kind::StatefulSet, name, &set);
    pod::closed_lists(&mut object.value["spec"]["template"]);
    // A claim template can't be changed; growth goes to the claim itself (`data_stores`).
    if let Some(live) = context.observed.objects.get(Kind::StatefulSet, name) {
        object.value["spec"]["volumeClaimTemplates"] = live.value["spec"]["volumeClaimTemplates"].clone();
    }
    object
}

/// The declared size of a volume.
pub fn size(storage: Option<&Storage>) -> String {
    storage
        .and_then(|s| s.size.clone())
        .unwrap_or_else(|| "1Gi".into())
}

fn claim(service: &str, role: Role, storage: Option<&Storage>) -> PersistentVolumeClaim {
    PersistentVolumeClaim {
        metadata: ObjectMeta {
            name: Some("data".into()),
            labels: Some(labels::selector(service, role)),
            ..ObjectMeta::default()
        },
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(vec!["ReadWriteOnce".into()]),
            storage_class_name: storage.and_then(|s| s.class_name.clone()),
            resources: Some(VolumeResourceRequirements {
                requests: Some([("storage".to_owned(), Quantity(size(storage)))].into()),
                limits: None,
            }),
            ..PersistentVolumeClaimSpec::default()
        }),
        ..PersistentVolumeClaim::default()
    }
}
