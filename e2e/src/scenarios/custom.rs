//! The same application without a preset: bindings, recipe, canary, migration and health path written out, as for a
//! framework that Accord has never heard of.

use anyhow::Result;

use super::kit::{self, COME_UP, seconds};
use crate::cluster::Cluster;
use crate::images::Image;

const CANARY: &str = r#"
import os
from django.contrib.auth import get_user_model
User = get_user_model()
user, _ = User.objects.get_or_create(username=os.environ["ACCORD_CANARY_USERNAME"])
user.email = os.environ["ACCORD_CANARY_EMAIL"]
user.set_password(os.environ["ACCORD_CANARY_PASSWORD"])
user.save()
"#;

pub(super) fn run(cluster: &Cluster) -> Result<()> {
    kit::with(cluster, "scenario-custom", "orders", |kit| {
        // For its Secret of users.
        let preset = kit.orders_yaml(&Image::example("django-orders"), 3)?;
        let yaml = kit::replaced(&preset, "framework: Django", "framework: Custom")?;
        let begun = std::time::Instant::now();
        kit.declare(&format!("{yaml}{}", written_out()))?;
        kit.ready(COME_UP)?;
        let took = begun.elapsed();
        let orders = kit.orders()?;
        let tally = orders.ask_every_replica(&orders.first_session()?)?;
        tally.ensure_perfect()?;
        Ok(format!(
            "ready in {}, {} of {} answers of {} replicas as they should be",
            seconds(took),
            tally.right,
            tally.asked,
            tally.replicas
        ))
    })
}

fn written_out() -> String {
    let canary = serde_json::Value::from(CANARY);
    format!(
        "  server:
    port: 8000
    healthPath: /health/
    env: [{{name: FORWARDED_ALLOW_IPS, value: '*'}}]
  bindings:
  - {{env: DATABASE_URL, source: database.uri}}
  - {{env: REDIS_URL, source: cache.uri}}
  - {{env: SECRET_KEY, source: keys.active}}
  - {{env: SECRET_KEY_FALLBACKS, source: keys.fallbacks}}
  - {{env: ALLOWED_HOSTS, source: hostnames}}
  - {{env: CSRF_TRUSTED_ORIGINS, source: origins}}
  migration: {{command: [python, manage.py, migrate, --noinput]}}
  verification:
    canary: {{command: [python, manage.py, shell, -c, {canary}]}}
    recipe:
      login: {{path: /api/auth/login/, sessionCookie: sessionid, accessToken: access, refreshToken: refresh}}
      check: {{path: /api/auth/me/, username: /username}}
      refresh: {{path: /api/auth/refresh/}}
      logout: {{path: /api/auth/logout/, refreshField: refresh}}
"
    )
}
