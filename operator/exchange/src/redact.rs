//! Texts of answers made fit for people and for status: short, on one line, without secrets.

const LIMIT: usize = 120;

/// A run of such characters at least this long may be a token, a key or a session id. Words aren't that long.
const OPAQUE: usize = 24;

/// The first 120 characters without markup, `secrets`, and anything that looks like one.
pub(crate) fn snippet(text: &str, secrets: &[&str]) -> String {
    let mut text = text.to_owned();
    for secret in secrets.iter().filter(|s| !s.is_empty()) {
        text = text.replace(secret, "…");
    }
    let mut plain = String::new();
    let mut markup = false;
    for c in text.chars() {
        match c {
            '<' => markup = true,
            '>' if markup => {
                markup = false;
                plain.push(' ');
            }
            _ if markup => {}
            c if c.is_control() => plain.push(' '),
            c => plain.push(c),
        }
    }
    let mut out = String::new();
    for word in plain.split_whitespace() {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(&without_opaque(word));
        if out.chars().count() > LIMIT {
            return out.chars().take(LIMIT - 1).chain(['…']).collect();
        }
    }
    out
}

fn without_opaque(word: &str) -> String {
    let mut out = String::new();
    let mut run = String::new();
    for c in word.chars().chain(['\0']) {
        if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '+' | '=') {
            run.push(c);
            continue;
        }
        // A path or a sentence's end isn't opaque; digits among letters over such a length are.
        let opaque = run.len() >= OPAQUE && run.chars().any(|c| c.is_ascii_digit());
        out.push_str(if opaque { "…" } else { &run });
        run.clear();
        if c != '\0' {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::snippet;

    #[test]
    fn a_snippet_holds_no_secret_no_markup_and_at_most_120_characters() {
        let text = format!(
            "<html><b>Server\nError</b> for canary-x with hunter2 {} </html>{}",
            "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOjF9.c2ln0WF0dXJl",
            "long ".repeat(100)
        );
        let shown = snippet(&text, &["canary-x", "hunter2"]);
        assert!(shown.starts_with("Server Error for … with … … long"), "{shown}");
        assert_eq!(shown.chars().count(), 120);
    }
}
