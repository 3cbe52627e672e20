//! What to do about a reason, in the framework's own lines where it is known.

use accord_crds::PodReason;

use super::Conventions;

/// One or two sentences; `None` where the evidence says it all.
pub(super) const fn advice(conventions: Conventions, reason: PodReason) -> Option<&'static str> {
    use Conventions::{Django, Generic};
    Some(match (reason, conventions) {
        (PodReason::LocalDatabase, Django) => {
            "Settings: DATABASES = {\"default\": dj_database_url.parse(os.environ[\"DATABASE_URL\"])}, and no SQLite."
        }
        (PodReason::LocalDatabase, Generic) => {
            "Take the database from its binding, and keep no file of your own."
        }
        (PodReason::LocalSession, Django) => {
            "Settings: SESSION_ENGINE = \"django.contrib.sessions.backends.cached_db\", CACHES on REDIS_URL, no LocMemCache."
        }
        (PodReason::LocalSession, Generic) => {
            "Keep sessions in the shared cache or database, not in the process."
        }
        (PodReason::LocalRevocation, Django) => {
            "Add rest_framework_simplejwt.token_blacklist to INSTALLED_APPS, and point CACHES at REDIS_URL."
        }
        (PodReason::LocalRevocation, Generic) => {
            "Keep ended sessions and tokens in the shared cache or database."
        }
        (PodReason::CookieAttributes, Django) => {
            "Settings: SESSION_COOKIE_SECURE, SESSION_COOKIE_HTTPONLY, SESSION_COOKIE_SAMESITE, SESSION_COOKIE_AGE; and no SESSION_EXPIRE_AT_BROWSER_CLOSE. Or correct sessionCookieAttributes."
        }
        (PodReason::CookieAttributes, Generic) => {
            "Set the session cookie as declared (Flask: SESSION_COOKIE_SECURE, SESSION_COOKIE_SAMESITE, session.permanent), or correct sessionCookieAttributes."
        }
        (PodReason::StaleCache, _) => {
            "Keep cached users in the shared cache and forget them there when they change; never compare passwords with a \
             copy in the process or with a database that lags."
        }
        (PodReason::KeyMismatch, Django) => {
            "Settings: SECRET_KEY = os.environ[\"SECRET_KEY\"], and no get_random_secret_key(). Tokens with a SIGNING_KEY of their own: leave accessTokenKey out of the recipe."
        }
        (PodReason::KeyMismatch, Generic) => {
            "Take the signing key from its binding; make none at start. Tokens with a key of their own: leave accessTokenKey out of the recipe."
        }
        (PodReason::ClockSkew, _) => {
            "Synchronise the clocks of the nodes (chrony, systemd-timesyncd); a few seconds of leeway at the check of tokens bear the rest."
        }
        (PodReason::WrongIdentity, _) => {
            "Primary keys differ between databases: stop this revision before anybody logs in as somebody else."
        }
        (PodReason::TokenFormat, _) => "All replicas have to issue tokens with the same header and claims.",
        (PodReason::AcceptsInvalid, _) => {
            "Look for a debug login or an authentication that is switched off. A check that names a guest where nobody is logged in can't be used."
        }
        (PodReason::CanaryMissing, _) => {
            "Look at the canary's Job: the account is missing, locked or inactive. The same on all pods means the same."
        }
        (PodReason::StaleReplica, _) => "Read users and sessions from the primary.",
        (PodReason::SchemaMismatch, _) => {
            "Compare search_path, and the migrations that this image and the database have."
        }
        (PodReason::HostnameMismatch, Django) => {
            "Settings: ALLOWED_HOSTS from ALLOWED_HOSTS, SESSION_COOKIE_DOMAIN = CSRF_COOKIE_DOMAIN = os.environ.get(\"SESSION_COOKIE_DOMAIN\") or None."
        }
        (PodReason::HostnameMismatch, Generic) => {
            "Take allowed hosts from the binding hostnames, and a cookie's Domain from cookieDomain: none where that is empty. No list of hosts in the code."
        }
        (PodReason::ServerError, _) => "Look at the log of the pod.",
        (PodReason::Redirected, Django) => {
            "Paths end in a slash, and SECURE_PROXY_SSL_HEADER = (\"HTTP_X_FORWARDED_PROTO\", \"https\")."
        }
        (PodReason::Redirected, Generic) => {
            "Correct the path in verification.recipe, or trust X-Forwarded-Proto; where the redirect is right, name it in login.status or check.rejectedStatus."
        }
        (PodReason::RecipeMismatch, _) => "Compare verification.recipe with the application.",
        (PodReason::ProbeBlocked, _) => {
            "Candidates: a server that isn't up or listens on loopback, a NetworkPolicy or a service mesh on the way to it, or a server that speaks TLS where plain HTTP is expected: the router ends TLS."
        }
        (PodReason::Slow, _) => "A blocked event loop or a slow dependency; nobody is isolated for it.",
        (PodReason::RateLimited, _) => {
            "Exempt the canary from login limits, or let verification.intervalSeconds be longer."
        }
        _ => return None,
    })
}
