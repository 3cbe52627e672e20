//! Whether what is secret stands where it may be read: the values of Secrets, in the forms that programs print them in,
//! looked for in texts. Pure; what it says names the Secret and the place, never the value.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

/// What is shorter may stand anywhere by chance.
const SHORTEST: usize = 8;
/// A line of a key in PEM is longer than what stands elsewhere by chance.
const LINE: usize = 32;

/// The values of Secrets, by the Secret's name and the key in it.
pub(crate) type Values = BTreeMap<(String, String), String>;

/// A text in which no secret may stand.
#[derive(Debug)]
pub(crate) struct Text {
    /// What it is, for people.
    pub(crate) what: String,
    /// What stands in it for certain: an empty text would show nothing.
    pub(crate) holds: &'static str,
    /// All of it.
    pub(crate) written: String,
}

/// A form of a secret.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Needle {
    of: (String, String),
    form: &'static str,
    text: String,
}

/// Every form of the values that is long enough to be told from chance.
pub(crate) fn needles(values: &Values) -> BTreeSet<Needle> {
    let mut needles = BTreeSet::new();
    for (of, value) in values {
        for (whole, part) in parts(value) {
            let forms = [
                (whole, part.to_owned()),
                ("URL-encoded", url_encoded(part)),
                ("in base64", STANDARD_NO_PAD.encode(part)),
            ];
            for (form, text) in forms.into_iter().filter(|(_, t)| t.len() >= SHORTEST) {
                // A form that changes nothing is the same thing looked for twice.
                if form == whole || text != part {
                    needles.insert(Needle {
                        of: of.clone(),
                        form,
                        text,
                    });
                }
            }
        }
    }
    needles
}

/// The value, the password in it if it is a URL, and its lines if it is a key in PEM: logs break or escape them.
fn parts(value: &str) -> Vec<(&'static str, &str)> {
    let value = value.trim();
    let mut parts = vec![("as it is", value)];
    let authority = value
        .split_once("://")
        .and_then(|(_, rest)| rest.split_once('@'))
        .map(|(authority, _)| authority);
    if let Some((_, password)) = authority.and_then(|a| a.split_once(':')) {
        parts.push(("its password", password));
    }
    if value.contains('\n') {
        let lines = value.lines().filter(|l| l.len() >= LINE && !l.contains("-----"));
        parts.extend(lines.map(|l| ("one of its lines", l)));
    }
    parts.retain(|(_, part)| part.len() >= SHORTEST);
    parts
}

fn url_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// Where which Secret stands, and which texts don't hold what they have to: a sentence each.
pub(crate) fn found(texts: &[Text], needles: &BTreeSet<Needle>) -> Vec<String> {
    let mut told = Vec::new();
    for Text { what, holds, written } in texts {
        if !written.contains(holds) {
            told.push(format!(
                "{what}: `{holds}` isn't in these {} bytes, so they show nothing",
                written.len()
            ));
        }
        for Needle {
            of: (name, key),
            form,
            text: needle,
        } in needles
        {
            if let Some(place) = written.find(needle.as_str()) {
                let line = written[..place].matches('\n').count() + 1;
                told.push(format!("{what}, line {line}: {key} of the Secret {name}, {form}"));
            }
        }
    }
    told
}

/// Which values stand in a text, in any form.
pub(crate) fn known_in(text: &str, needles: &BTreeSet<Needle>) -> BTreeSet<(String, String)> {
    let known = needles.iter().filter(|n| text.contains(&n.text));
    known.map(|n| n.of.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWORD: &str = "s3cr3t+of/the&database";

    fn values(value: &str) -> Values {
        Values::from([(("orders-database".to_owned(), "uri".to_owned()), value.to_owned())])
    }

    fn told(text: &str, value: &str) -> Vec<String> {
        let text = Text {
            what: "the log".to_owned(),
            holds: "begin",
            written: format!("begin\n{text}\n"),
        };
        found(&[text], &needles(&values(value)))
    }

    #[test]
    fn a_value_is_found_as_it_is_encoded_for_a_url_and_in_base64_and_is_never_told() {
        let encoded = "s3cr3t%2Bof%2Fthe%26database";
        let base64 = STANDARD_NO_PAD.encode(PASSWORD);
        for form in [PASSWORD, encoded, &base64] {
            let told = told(&format!("it is {form}."), PASSWORD);
            assert_eq!(told.len(), 1, "{form}: {told:?}");
            assert!(told[0].starts_with("the log, line 2: uri of the Secret orders-database, "));
            assert!(!told[0].contains("s3cr3t"), "{told:?}");
        }
        assert_eq!(told("it is nothing", PASSWORD), Vec::<String>::new());
    }

    #[test]
    fn the_password_of_a_url_and_each_line_of_a_key_are_found_alone() {
        let url = format!("postgres://app:{PASSWORD}@db.example.com/app");
        assert_eq!(told(&format!("password={PASSWORD}"), &url).len(), 1);
        let line = "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg";
        let key = format!("-----BEGIN PRIVATE KEY-----\n{line}\n-----END PRIVATE KEY-----\n");
        assert_eq!(told(&format!("key: {line}\\n"), &key).len(), 1);
        assert_eq!(told("-----BEGIN PRIVATE KEY-----", &key), Vec::<String>::new());
    }

    #[test]
    fn an_empty_text_shows_nothing_and_a_short_value_is_not_looked_for() {
        let empty = Text {
            what: "the log".to_owned(),
            holds: "begin",
            written: String::new(),
        };
        assert_eq!(found(&[empty], &BTreeSet::new()).len(), 1);
        assert!(needles(&values("short")).is_empty());
    }

    #[test]
    fn which_values_stand_in_a_text() {
        let needles = needles(&values(PASSWORD));
        assert_eq!(known_in(&STANDARD_NO_PAD.encode(PASSWORD), &needles).len(), 1);
        assert!(known_in("nothing", &needles).is_empty());
    }
}
