//! What follows from the declared hostnames: origins, the domain of cookies, addresses for those outside.

use accord_crds::AuthServiceSpec;
use accord_crds::urls::Urls;

use crate::context::Context;

/// `https://` and the canonical hostname.
pub fn origin(spec: &AuthServiceSpec) -> String {
    format!(
        "https://{}",
        spec.hostnames.first().map(String::as_str).unwrap_or_default()
    )
}

/// `https://` and each hostname, separated by commas.
pub fn origins(spec: &AuthServiceSpec) -> String {
    let origins: Vec<_> = spec.hostnames.iter().map(|h| format!("https://{h}")).collect();
    origins.join(",")
}

/// The declared hostname that all the others end in; empty where there is only one name or no such one. A parent that
/// isn't declared is never made up: it may be somebody else's (`co.uk`), and hosts that nobody declared would get the
/// cookies.
pub fn cookie_domain(hostnames: &[String]) -> &str {
    if hostnames.len() < 2 {
        return "";
    }
    hostnames
        .iter()
        .find(|parent| hostnames.iter().all(|host| covers(parent, host)))
        .map_or("", String::as_str)
}

/// True when browsers send a cookie with this `Domain` to the host (RFC 6265, 5.1.3), and take it from there. One label
/// alone is nobody's domain.
pub fn covers(domain: &str, host: &str) -> bool {
    let domain = domain.strip_prefix('.').unwrap_or(domain).to_ascii_lowercase();
    let host = host.to_ascii_lowercase();
    let parent = || host.strip_suffix(&domain).is_some_and(|rest| rest.ends_with('.'));
    host == domain || (domain.contains('.') && parent())
}

/// Where the service is reached from outside.
pub fn urls(spec: &AuthServiceSpec) -> Urls {
    let api = origin(spec);
    let recipe = Context::recipe(spec);
    let at = |path: &str| format!("{api}{path}");
    Urls {
        csrf: recipe
            .as_ref()
            .and_then(|r| r.csrf.as_ref()?.path.as_deref())
            .map(at),
        login: recipe.as_ref().map(|r| at(&r.login.path)),
        refresh: recipe
            .as_ref()
            .and_then(|r| r.refresh.as_ref())
            .map(|s| at(&s.path)),
        logout: recipe
            .as_ref()
            .and_then(|r| r.logout.as_ref())
            .map(|s| at(&s.path)),
        api,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|n| (*n).to_owned()).collect()
    }

    #[test]
    fn cookies_belong_to_one_host_or_to_the_declared_name_above_all() {
        assert_eq!(cookie_domain(&names(&["login.example.com"])), "");
        assert_eq!(
            cookie_domain(&names(&["www.example.com", "example.com"])),
            "example.com"
        );
        assert_eq!(
            cookie_domain(&names(&["login.example.com", "app.example.com"])),
            "",
            "their parent isn't declared"
        );
        assert_eq!(cookie_domain(&names(&["example.com", "myexample.com"])), "");
    }

    #[test]
    fn a_domain_covers_itself_and_what_is_below_it() {
        for (domain, host) in [
            ("example.com", "example.com"),
            (".Example.com", "www.example.com"),
            ("localhost", "localhost"),
        ] {
            assert!(covers(domain, host), "{domain} {host}");
        }
        for (domain, host) in [
            ("localhost", "www.example.com"),
            ("www.example.com", "example.com"),
            ("ample.com", "example.com"),
            ("com", "example.com"),
        ] {
            assert!(!covers(domain, host), "{domain} {host}");
        }
    }
}
