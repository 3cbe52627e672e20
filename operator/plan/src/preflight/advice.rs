//! The lines to paste.

use accord_crds::Reason;
use accord_crds::spec::Framework;

/// What to write instead, in the framework's own lines where they are known.
pub(super) fn advice(framework: Framework, reason: Reason) -> &'static str {
    use Framework::{Django, FastApi, Flask};
    match (reason, framework) {
        (Reason::LocalDatabase, Django) => {
            "DATABASES = {\"default\": dj_database_url.parse(os.environ[\"DATABASE_URL\"])}"
        }
        (Reason::LocalDatabase, Flask) => {
            "app.config[\"SQLALCHEMY_DATABASE_URI\"] = os.environ[\"DATABASE_URL\"]"
        }
        (Reason::LocalDatabase, FastApi) => "engine = create_async_engine(os.environ[\"DATABASE_URL\"])",
        (Reason::LocalDatabase, _) => "take the database from its binding",
        (Reason::KeyMismatch, Django | FastApi) => "SECRET_KEY = os.environ[\"SECRET_KEY\"]",
        (Reason::KeyMismatch, Flask) => "app.config[\"SECRET_KEY\"] = os.environ[\"SECRET_KEY\"]",
        (Reason::KeyMismatch, _) => "take the key from its binding, and make none at start",
        (Reason::LocalSession, Django) => {
            "CACHES = {\"default\": {\"BACKEND\": \"django.core.cache.backends.redis.RedisCache\", \"LOCATION\": os.environ[\"REDIS_URL\"]}}"
        }
        (Reason::LocalSession, Flask) => {
            "app.config[\"SESSION_TYPE\"] = \"redis\"; app.config[\"SESSION_REDIS\"] = Redis.from_url(os.environ[\"REDIS_URL\"])"
        }
        (Reason::LocalSession, FastApi) => "redis = Redis.from_url(os.environ[\"REDIS_URL\"])",
        (Reason::LocalSession, _) => "keep sessions in the shared cache or database",
        (Reason::HostnameMismatch, Django) => "ALLOWED_HOSTS = os.environ[\"ALLOWED_HOSTS\"].split(\",\")",
        (Reason::HostnameMismatch, Flask) => {
            "app.config[\"TRUSTED_HOSTS\"] = os.environ[\"TRUSTED_HOSTS\"].split(\",\")"
        }
        (Reason::HostnameMismatch, FastApi) => {
            "app.add_middleware(TrustedHostMiddleware, allowed_hosts=os.environ[\"ALLOWED_HOSTS\"].split(\",\"))"
        }
        _ => "take the hosts from the binding of hostnames",
    }
}
