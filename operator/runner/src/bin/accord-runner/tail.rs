//! The last lines of the command's output, bounded; and the one line that is an answer, whatever comes after it.

use std::collections::VecDeque;

use accord_runner::ledger::TAIL_BYTES;

/// How the line begins that a facts command answers with.
pub(crate) const ANSWER: &str = "{\"accordFacts\":";

/// Keeps the last [`TAIL_BYTES`] of redacted lines, and the last answer whole.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    lines: VecDeque<String>,
    bytes: usize,
    answer: Option<String>,
}

impl Tail {
    /// Adds a line, without its newline. Postgres' text can't hold NUL.
    pub(crate) fn push(&mut self, line: &str) {
        if line.starts_with(ANSWER) {
            self.answer = Some(line.to_owned());
        }
        let line = last_bytes(line, TAIL_BYTES).replace('\0', "");
        self.bytes += line.len() + 1;
        self.lines.push_back(line);
        while self.bytes > TAIL_BYTES + 1 {
            let Some(oldest) = self.lines.pop_front() else {
                break;
            };
            self.bytes -= oldest.len() + 1;
        }
    }

    /// The last line that began as an answer.
    pub(crate) fn answer(&self) -> Option<&str> {
        self.answer.as_deref()
    }

    /// The lines, joined; at most [`TAIL_BYTES`].
    pub(crate) fn text(&self) -> String {
        let lines: Vec<&str> = self.lines.iter().map(String::as_str).collect();
        lines.join("\n")
    }
}

/// The last `limit` bytes at most, cut where a character begins.
pub(crate) fn last_bytes(text: &str, limit: usize) -> &str {
    let mut at = text.len().saturating_sub(limit);
    while !text.is_char_boundary(at) {
        at += 1;
    }
    &text[at..]
}

/// The first `limit` bytes at most, cut where a character begins.
pub(crate) fn first_bytes(text: &str, limit: usize) -> &str {
    let mut at = text.len().min(limit);
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    &text[..at]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_last_lines_within_the_bound() {
        let mut tail = Tail::default();
        for n in 0..1000 {
            tail.push(&format!("line {n}"));
        }
        let text = tail.text();
        assert!(
            text.len() <= TAIL_BYTES && text.len() > TAIL_BYTES - 20,
            "{}",
            text.len()
        );
        assert!(text.ends_with("line 999"));
    }

    #[test]
    fn one_line_longer_than_everything_is_cut_at_a_character() {
        let mut tail = Tail::default();
        tail.push("first");
        tail.push(&"ü".repeat(5000));
        let text = tail.text();
        assert_eq!(text.len(), TAIL_BYTES);
        assert!(text.chars().all(|c| c == 'ü'));
        assert_eq!(first_bytes("aü", 2), "a");
        assert_eq!(last_bytes("aü", 1), "");
    }

    #[test]
    fn nul_is_dropped() {
        let mut tail = Tail::default();
        tail.push("a\0b");
        assert_eq!(tail.text(), "ab");
    }
}
