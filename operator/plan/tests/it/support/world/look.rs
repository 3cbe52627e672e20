//! What the operator looks at, as its caches show it.

use std::collections::BTreeMap;

use accord_crds::meta::LABEL_SERVICE;
use accord_crds::{AuthService, AuthServiceSpec};
use accord_plan::observed::RefusedWrite;
use accord_plan::{Kind, Object, ObjectKey, Observed, contradiction};

use super::{SERVICE, View, World, settings};

impl World {
    /// What the operator looks at: now, or, with a lagging cache, before the last write.
    pub(super) fn look(&mut self) -> Option<View> {
        let service = self.service.clone()?;
        if self.lagging
            && self.wrote
            && let Some(view) = self
                .view
                .take()
                .filter(|v| v.service.metadata.uid == service.metadata.uid)
        {
            self.say("(lagging)".into());
            return Some(view);
        }
        let objects = self
            .api
            .iter()
            .filter(|o| o.label(LABEL_SERVICE) == Some(SERVICE))
            .cloned()
            .collect();
        let view = View { service, objects };
        self.view = self.lagging.then(|| view.clone());
        Some(view)
    }

    pub(super) fn observed(&mut self, view: &mut View) -> Observed {
        // A name that isn't taken any more, or is ours now.
        let api = &self.api;
        self.memory.foreign.retain(|key| {
            api.get(key.kind, &key.name)
                .is_some_and(|v| v["metadata"]["labels"][LABEL_SERVICE] != *SERVICE)
        });
        Observed {
            now: self.now,
            settings: settings(),
            contradiction: self.contradiction(&view.service),
            objects: std::mem::take(&mut view.objects),
            foreign: self.memory.foreign.clone(),
            refused: self.refused(&view.service),
            referenced: self.referenced(&view.service.spec),
            edge: self.edge.clone(),
            watched: None,
            database: self.memory.database.clone(),
            cache: self.memory.cache.clone(),
            proofs: self.memory.proofs.clone(),
        }
    }

    /// Asked once for each generation, as the operator does.
    fn contradiction(&mut self, service: &AuthService) -> Option<String> {
        let of = (service.metadata.uid.clone(), service.metadata.generation);
        match &self.memory.contradiction {
            Some((known, found)) if *known == of => found.clone(),
            _ => {
                let found = contradiction(service);
                self.memory.contradiction = Some((of, found.clone()));
                found
            }
        }
    }

    /// What was refused of this declaration.
    fn refused(&mut self, service: &AuthService) -> BTreeMap<ObjectKey, RefusedWrite> {
        let current = service.metadata.generation;
        self.memory
            .refused
            .retain(|_, (generation, _)| *generation == current);
        let refused = self.memory.refused.iter();
        refused
            .map(|(key, (_, why))| (key.clone(), why.clone()))
            .collect()
    }

    /// The Secrets that a declaration names.
    fn referenced(&self, spec: &AuthServiceSpec) -> BTreeMap<String, Option<Object>> {
        let database = spec.database.as_ref().and_then(|d| d.external.as_ref());
        let cache = spec.cache.as_ref().and_then(|c| c.external.as_ref());
        let edge = spec.verification.as_ref().and_then(|v| v.edge.as_ref());
        let references = [
            database.map(|e| &e.secret_ref),
            cache.map(|e| &e.secret_ref),
            edge.and_then(|e| e.ca_secret_ref.as_ref()),
        ];
        let names = references.into_iter().flatten().map(|r| r.name.clone());
        let secrets = self.api.of(Kind::Secret);
        let found = |name: &str| {
            secrets
                .iter()
                .find(|s| s.key.name == name)
                .map(|s| Object::clone(s))
        };
        names.map(|name| (name.clone(), found(&name))).collect()
    }
}
