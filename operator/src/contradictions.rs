//! What a declaration contradicts, asked once for each generation: it hangs on nothing else that can change.

use std::collections::HashMap;
use std::sync::Mutex;

use accord_crds::AuthService;

use crate::index::Key;
use crate::lock::lock;

/// See the module.
#[derive(Default)]
pub(crate) struct Contradictions(Mutex<HashMap<Key, Known>>);

struct Known {
    uid: Option<String>,
    generation: Option<i64>,
    found: Option<String>,
}

impl Contradictions {
    /// The first contradiction of this declaration.
    pub(crate) fn of(&self, key: &Key, service: &AuthService) -> Option<String> {
        let (uid, generation) = (&service.metadata.uid, service.metadata.generation);
        let mut all = lock(&self.0);
        if let Some(known) = all.get(key)
            && known.uid == *uid
            && known.generation == generation
        {
            return known.found.clone();
        }
        let found = accord_plan::contradiction(service);
        let known = Known {
            uid: uid.clone(),
            generation,
            found: found.clone(),
        };
        all.insert(key.clone(), known);
        found
    }

    /// A service is gone.
    pub(crate) fn forget(&self, key: &Key) {
        lock(&self.0).remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(uid: &str, generation: i64, image: &str) -> AuthService {
        serde_json::from_value(serde_json::json!({
            "apiVersion": "accord.dev/v1alpha1", "kind": "AuthService",
            "metadata": {"name": "harbour", "namespace": "port", "uid": uid, "generation": generation},
            "spec": {"framework": "Django", "image": image, "hostnames": ["h.example"], "replicas": 1},
        }))
        .unwrap()
    }

    #[test]
    fn another_generation_and_another_service_of_the_name_are_asked_anew() {
        let (all, key) = (Contradictions::default(), ("port".into(), "harbour".into()));
        let is_refused = |uid, generation, image| all.of(&key, &service(uid, generation, image)).is_some();
        assert!(is_refused("a", 1, ""));
        assert!(is_refused("a", 1, "i"), "the same generation isn't asked again");
        assert!(!is_refused("a", 2, "i"));
        assert!(is_refused("b", 2, ""));
        all.forget(&key);
        assert!(!is_refused("b", 2, "i"));
    }
}
