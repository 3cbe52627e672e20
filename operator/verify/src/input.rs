//! What the command reads: the recipe, the account, keys, certificate authorities.

use std::io::Read as _;
use std::path::Path;

use accord_crds::Recipe;
use accord_crds::spec::Framework;
use accord_exchange::Canary;
use accord_plan::preset::Preset;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use secrecy::SecretString;
use serde_json::Value;

use crate::cli::Verify;
use crate::problem::Problem;
use crate::store::Store;

/// Nothing that this command reads is larger.
const LIMIT: u64 = 1 << 20;

/// The recipe, from the file or from the framework's preset.
pub(crate) fn recipe(args: &Verify) -> Result<Recipe, Problem> {
    if let Some(path) = &args.recipe {
        let text = read("the recipe", path)?;
        return parse(&text).map_err(|why| Problem::Usage(format!("--recipe {}: {why}", path.display())));
    }
    let name = args.framework.as_deref().unwrap_or_default();
    let framework = serde_json::from_value(Value::from(name)).unwrap_or(Framework::Unknown);
    let preset = Preset::of(framework).ok_or_else(|| {
        Problem::Usage(format!(
            "--framework {name}: not known; there are {}",
            Framework::NAMES.join(", ")
        ))
    })?;
    preset.recipe.ok_or_else(|| {
        Problem::Usage(format!(
            "--framework {name}: it has no recipe of its own; write one and give --recipe"
        ))
    })
}

fn parse(yaml: &str) -> Result<Recipe, String> {
    let given: Value = serde_saphyr::from_str(yaml).map_err(|e| e.to_string())?;
    if !given.is_object() {
        return Err("it holds no recipe: at least login.path and check.path are needed".to_owned());
    }
    if let Some(why) = not_text(&given) {
        return Err(why);
    }
    let recipe: Recipe = serde_json::from_value(given.clone()).map_err(|why| {
        // Read once more for the place.
        serde_saphyr::from_str::<Recipe>(yaml)
            .err()
            .map_or_else(|| why.to_string(), |located| located.to_string())
    })?;
    // A misspelt field would be left out in silence, and something else verified than what was meant.
    let known = serde_json::to_value(&recipe).map_err(|e| e.to_string())?;
    if let Some(value) = unknown_value(&given, &known) {
        return Err(format!("{value}, which isn't among its values"));
    }
    match unknown(&given, &known) {
        Some(field) => Err(format!("no such field: {field}")),
        None => recipe.check().map(|()| recipe),
    }
}

/// The first value that was understood as another one: a name that this version doesn't know.
fn unknown_value(given: &Value, known: &Value) -> Option<String> {
    let (given, known) = (given.as_object()?, known.as_object()?);
    given
        .iter()
        .find_map(|(name, value)| match (value, known.get(name)?) {
            (Value::String(value), Value::String(understood)) => {
                (value != understood).then(|| format!("{name} is {value:?}"))
            }
            (value, understood) => unknown_value(value, understood).map(|inner| format!("{name}.{inner}")),
        })
}

/// The first value among the `fields` of a request that YAML takes for something else than text: the others are told with
/// their line, while these would pass for text there.
fn not_text(given: &Value) -> Option<String> {
    ["login", "refresh", "logout"].into_iter().find_map(|request| {
        let fields = given.get(request)?.get("fields")?.as_object()?;
        let (name, value) = fields.iter().find(|(_, value)| !value.is_string())?;
        Some(format!(
            "{request}.fields.{name} is {value}, and has to be text: put it in quotes (YAML reads on, yes and no as true \
             and false)"
        ))
    })
}

/// The first field that was given and isn't there once it was understood.
fn unknown(given: &Value, known: &Value) -> Option<String> {
    let (given, known) = (given.as_object()?, known.as_object()?);
    given.iter().find_map(|(name, value)| match known.get(name) {
        Some(understood) => unknown(value, understood).map(|inner| format!("{name}.{inner}")),
        // Said to be empty, and so left out.
        None if value.is_null() || value.as_object().is_some_and(serde_json::Map::is_empty) => None,
        None => Some(name.clone()),
    })
}

/// Options that would do nothing with this recipe are refused.
pub(crate) fn fits(args: &Verify, recipe: &Recipe) -> Result<(), Problem> {
    if args.change_password && recipe.change_password.is_none() {
        return Err(Problem::Usage(
            "--change-password: the recipe has no changePassword, so it isn't known how one is changed; give both or none".into(),
        ));
    }
    match &args.keys {
        Some(path) if recipe.login.access_token_key.is_none() => Err(Problem::Usage(format!(
            "--keys {}: the recipe has no login.accessTokenKey, so no signature would be looked at; write accessTokenKey: \
             KeyRing, or leave the keys out",
            path.display()
        ))),
        _ => Ok(()),
    }
}

/// The account to log in with.
pub(crate) fn canary(path: Option<&Path>) -> Result<Canary, Problem> {
    let (username, password) = match path {
        Some(path) => {
            let text = read("the account", path)?;
            let mut lines = text.lines().map(str::to_owned);
            (lines.next(), lines.next())
        }
        None => (
            std::env::var("ACCORD_USERNAME").ok(),
            std::env::var("ACCORD_PASSWORD").ok(),
        ),
    };
    match (username, password) {
        (Some(username), Some(password)) if !username.is_empty() && !password.is_empty() => Ok(Canary {
            username,
            password: password.into(),
        }),
        _ => Err(Problem::Usage(
            "no account: set ACCORD_USERNAME and ACCORD_PASSWORD, or give --credentials with the username in the first \
             line and the password in the second"
                .into(),
        )),
    }
}

/// Keys, one in a line.
pub(crate) fn keys(path: Option<&Path>) -> Result<Vec<SecretString>, Problem> {
    let Some(path) = path else {
        return Ok(Vec::new());
    };
    let text = read("the file of keys", path)?;
    let keys: Vec<SecretString> = text
        .lines()
        .filter(|line| !line.is_empty())
        .map(SecretString::from)
        .collect();
    if keys.is_empty() {
        return Err(Problem::Usage(format!(
            "--keys {}: it holds no key",
            path.display()
        )));
    }
    Ok(keys)
}

/// The cache that should hold the sessions.
pub(crate) async fn store(args: &Verify, recipe: &Recipe) -> Result<Option<Store>, Problem> {
    let Some(path) = &args.cache else {
        return Ok(None);
    };
    if recipe.login.session_key.is_none() {
        return Err(Problem::Usage(format!(
            "--cache {}: the recipe has no login.sessionKey, so it isn't known where a session would be; give both or none",
            path.display()
        )));
    }
    let uri = read("the cache's URI", path)?;
    let authorities = match &args.ca_file {
        Some(file) => Some(read("the file of certificate authorities", file)?),
        None => None,
    };
    Store::at(&uri, authorities, path).await.map(Some)
}

/// Who vouches for replicas over https.
pub(crate) fn authorities(path: Option<&Path>) -> Result<RootCertStore, Problem> {
    let mut store = RootCertStore::empty();
    if let Some(path) = path {
        let text = read("the file of certificate authorities", path)?;
        for certificate in CertificateDer::pem_slice_iter(text.as_bytes()) {
            let added = certificate
                .map_err(|e| e.to_string())
                .and_then(|c| store.add(c).map_err(|e| e.to_string()));
            added.map_err(|why| Problem::Usage(format!("--ca-file {}: {why}", path.display())))?;
        }
    } else {
        // One that can't be read is missed when a certificate needs it, and told then.
        store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    if store.is_empty() {
        return Err(Problem::Usage(
            "no certificate authority for https: give --ca-file with PEM certificates".into(),
        ));
    }
    Ok(store)
}

fn read(what: &'static str, path: &Path) -> Result<String, Problem> {
    let mut text = String::new();
    let read = if path == Path::new("-") {
        std::io::stdin().lock().take(LIMIT).read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(LIMIT).read_to_string(&mut text))
    };
    match read {
        Ok(_) => Ok(text),
        Err(source) => Err(Problem::File {
            what,
            path: path.to_owned(),
            source,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    /// What the example's README says of it.
    #[test]
    fn the_recipe_of_django_orders_is_the_presets_and_a_change_of_password() {
        let text = include_str!("../../../examples/django-orders/recipe.yaml");
        let mut recipe = parse(text).unwrap();
        assert!(recipe.change_password.take().is_some());
        let preset = super::Preset::of(super::Framework::Django).unwrap();
        assert_eq!(Some(recipe), preset.recipe);
    }

    #[test]
    fn the_recipe_of_flask_tickets_is_the_presets_and_what_its_cookie_has_to_be() {
        let text = include_str!("../../../examples/flask-tickets/recipe.yaml");
        let mut recipe = parse(text).unwrap();
        assert!(recipe.login.session_cookie_attributes.take().is_some());
        let preset = super::Preset::of(super::Framework::Flask).unwrap();
        assert_eq!(Some(recipe), preset.recipe);
    }

    const RECIPE: &str = "login: {path: /in, accessToken: token}\ncheck: {path: /me}\n";

    #[test]
    fn a_recipe_is_read_and_a_misspelt_field_is_named() {
        assert_eq!(
            parse(RECIPE).unwrap().login.access_token.as_deref(),
            Some("token")
        );
        let wrong = RECIPE.replace("accessToken", "acessToken");
        assert_eq!(parse(&wrong).unwrap_err(), "no such field: login.acessToken");
        assert!(parse("login: {path: /in}").is_err());
    }

    #[test]
    fn a_wrong_value_is_told_with_its_place() {
        for (wrong, says) in [
            (
                "login:\n  path: /in\n  status: created\ncheck: {path: /me}\n",
                "line 3",
            ),
            (
                "login:\n  path: /in\n  encoding: form\ncheck: {path: /me}\n",
                "line 3",
            ),
            ("login: {path: /in}\n", "check"),
            ("", "at least login.path"),
        ] {
            let why = parse(wrong).unwrap_err();
            assert!(why.contains(says), "{why}");
        }
    }

    #[test]
    fn what_would_do_nothing_is_refused_by_its_field() {
        for (more, says) in [
            (
                "logout: {path: /out, method: GET, refreshField: refresh}\n",
                "logout.method is GET",
            ),
            (
                "logout: {path: /out, method: GET, fields: {all: 'true'}}\n",
                "logout.method is GET",
            ),
            ("logout: {path: /out, method: PUT}\n", "logout.method is \"PUT\""),
            ("logout: {path: /out, accessToken: Kept}\n", "Kept"),
        ] {
            let why = parse(&format!("{RECIPE}{more}")).unwrap_err();
            assert!(why.contains(says), "{why}");
        }
        for (scheme, says) in [
            ("Token auth", "one word"),
            ("'1'", "one word"),
            ("''", "one word"),
        ] {
            let with = format!("token, accessTokenScheme: {scheme}}}");
            let why = parse(&RECIPE.replace("token}", &with)).unwrap_err();
            assert!(why.contains(says), "{why}");
        }
        let identifier = RECIPE.replace("token}", "token, identifier: email}");
        assert!(
            parse(&identifier)
                .unwrap_err()
                .starts_with("login.identifier is \"email\"")
        );
        let without = "login: {path: /in, accessTokenScheme: Token}\ncheck: {path: /me}\n";
        assert!(parse(without).unwrap_err().contains("without login.accessToken"));
    }

    #[test]
    fn a_field_that_yaml_takes_for_something_else_is_named() {
        let wrong = RECIPE.replace("/in,", "/in, fields: {remember: on},");
        let why = parse(&wrong).unwrap_err();
        assert!(
            why.contains("login.fields.remember is true") && why.contains("quotes"),
            "{why}"
        );
    }

    #[test]
    fn a_path_that_could_lead_elsewhere_is_refused_by_its_field() {
        for (from, to, field) in [
            ("/in", "'@192.0.2.1/in'", "login.path"),
            ("/in", "https://other.example/in", "login.path"),
            ("/me", "me", "check.path"),
            ("/me", "/me, username: name", "check.username"),
        ] {
            let why = parse(&RECIPE.replace(from, to)).unwrap_err();
            assert!(
                why.starts_with(&format!("{field} is ")) && why.contains("slash"),
                "{why}"
            );
        }
    }

    #[test]
    fn what_is_declared_of_nothing_is_named() {
        for (field, without) in [
            ("sessionCookieAttributes: {httpOnly: true}", "sessionCookie:"),
            ("sessionKey: 'session:{id}'", "sessionCookie:"),
            ("accessTokenKey: KeyRing", "accessToken:"),
        ] {
            let nothing = format!("login: {{path: /in, {field}}}\ncheck: {{path: /me}}\n");
            let why = parse(&nothing).unwrap_err();
            let name = field.split(':').next().unwrap();
            assert!(why.starts_with(&format!("login.{name} is set without")), "{why}");
            let whole = nothing.replace("/in,", &format!("/in, {without} a,"));
            assert!(parse(&whole).is_ok(), "{whole}");
        }
    }
}
