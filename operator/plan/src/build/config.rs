//! The cache's configuration file. The password is not in it: the container adds it from a Secret.

use k8s_openapi::api::core::v1::ConfigMap;

use crate::context::Context;
use crate::key::{Kind, Object};
use crate::labels::{self, Role};

/// Valkey's configuration: TLS only, every write on disk before it is acknowledged, nothing ever evicted.
pub fn cache(context: &Context, max_memory: i128) -> Object {
    let name = context.names.cache_config();
    let text = format!(
        "port 0\n\
         tls-port 6379\n\
         tls-cert-file /etc/accord/tls/tls.crt\n\
         tls-key-file /etc/accord/tls/tls.key\n\
         tls-ca-cert-file /etc/accord/tls/ca.crt\n\
         tls-auth-clients no\n\
         protected-mode no\n\
         dir /data\n\
         save \"\"\n\
         appendonly yes\n\
         appendfsync always\n\
         maxmemory {max_memory}\n\
         maxmemory-policy noeviction\n"
    );
    let map = ConfigMap {
        metadata: labels::owned(context.service, &name, Role::Cache),
        data: Some([("valkey.conf".to_owned(), text)].into()),
        ..ConfigMap::default()
    };
    Object::new(Kind::ConfigMap, &name, &map)
}
