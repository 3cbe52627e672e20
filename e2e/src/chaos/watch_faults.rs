//! A watch, event by event: handed on, cut off, told that it is too old, or with an event left out.

use std::io::{self, BufRead, Write};

use super::plan::Action;
use super::wire::{self, Head};

/// What a plan does to one watch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Trouble {
    /// It ends after so many events.
    ends_after: Option<u32>,
    /// And says then that it is too old.
    is_gone: bool,
    /// This event is left out, counted from 1.
    leaves_out: Option<u32>,
}

impl Trouble {
    pub(crate) fn of(action: Option<&Action>) -> Self {
        match action {
            Some(Action::CloseWatch { after }) => Self {
                ends_after: Some(*after),
                ..Self::default()
            },
            Some(Action::Gone { after }) => Self {
                ends_after: Some(*after),
                is_gone: true,
                ..Self::default()
            },
            Some(Action::DropEvent { event }) => Self {
                leaves_out: Some(*event),
                ..Self::default()
            },
            _ => Self::default(),
        }
    }
}

/// How long a watch goes on that leaves out an event, in seconds.
const BLIND: &str = "timeoutSeconds=20";

impl Trouble {
    /// The target that the API server is asked for.
    pub(crate) fn target(&self, target: &str) -> String {
        if self.leaves_out.is_none() {
            return target.to_owned();
        }
        let parts = target.split('&');
        let parts = parts.map(|p| {
            if p.starts_with("timeoutSeconds=") {
                BLIND
            } else {
                p
            }
        });
        parts.collect::<Vec<_>>().join("&")
    }
}

/// Hands a watch on until one of the two sides, or the trouble, ends it.
pub(crate) fn hand_on(
    from: &mut impl BufRead,
    head: &Head,
    trouble: &Trouble,
    to: &mut impl Write,
    came: impl Fn(),
) -> io::Result<()> {
    wire::begin_chunks(to, head.status, head.headers.of_message())?;
    let mut line = Vec::new();
    let mut events = 0;
    loop {
        if trouble.ends_after.is_some_and(|n| events >= n) {
            came();
            if trouble.is_gone {
                wire::write_chunk(to, TOO_OLD.as_bytes())?;
            }
            return wire::write_chunk(to, b"");
        }
        let Some(chunk) = wire::read_chunk(from)? else {
            // Watches that end in good order go on from where they were: what was left out would never be told.
            if trouble.leaves_out.is_some() {
                wire::write_chunk(to, TOO_OLD.as_bytes())?;
            }
            return wire::write_chunk(to, b"");
        };
        // The API server's chunks needn't be events: these end with a line.
        for byte in chunk {
            line.push(byte);
            if byte == b'\n' {
                let event = std::mem::take(&mut line);
                let counts = !is_bookmark(&event);
                events += u32::from(counts);
                if counts && trouble.leaves_out == Some(events) {
                    came();
                } else {
                    wire::write_chunk(to, &event)?;
                }
            }
        }
    }
}

const TOO_OLD: &str = concat!(
    r#"{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","#,
    r#""message":"too old resource version","reason":"Expired","code":410}}"#,
    "\n"
);

/// Bookmarks come by the clock.
fn is_bookmark(event: &[u8]) -> bool {
    event.starts_with(br#"{"type":"BOOKMARK""#)
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    /// How often the trouble came, and what the operator sees of a watch with three events, the second of which comes in two chunks.
    fn seen(trouble: Trouble) -> (u32, String) {
        let mut wire = Vec::new();
        for chunk in [
            "{\"type\":\"ADDED\",\"n\":1}\n",
            "{\"type\":\"MODI",
            "FIED\",\"n\":2}\n{\"type\":\"BOOKMARK\"}\n",
            "{\"type\":\"ADDED\",\"n\":3}\n",
            "",
        ] {
            wire::write_chunk(&mut wire, chunk.as_bytes()).unwrap();
        }
        let head = Head {
            status: 200,
            ..Head::default()
        };
        let mut told = Vec::new();
        let came = std::cell::Cell::new(0);
        let count = || came.set(came.get() + 1);
        hand_on(&mut BufReader::new(&wire[..]), &head, &trouble, &mut told, count).unwrap();
        let mut told = told.as_slice();
        let head = wire::read_head(&mut told).unwrap();
        let body = wire::read_body(&mut told, &head).unwrap();
        (came.get(), String::from_utf8(body).unwrap())
    }

    #[test]
    fn a_watch_without_trouble_is_told_whole() {
        let (came, told) = seen(Trouble::default());
        assert_eq!((came, told.lines().count()), (0, 4));
        assert_eq!(
            seen(Trouble::of(Some(&Action::DropEvent { event: 9 }))).0,
            0,
            "there are three"
        );
    }

    #[test]
    fn one_event_is_left_out_and_bookmarks_do_not_count() {
        let (came, told) = seen(Trouble::of(Some(&Action::DropEvent { event: 3 })));
        assert_eq!(came, 1);
        assert!(told.contains("\"n\":2") && !told.contains("\"n\":3"), "{told}");
        assert!(
            told.ends_with("\"code\":410}}\n"),
            "it is listed anew at the end: {told}"
        );
    }

    #[test]
    fn only_a_watch_that_leaves_out_an_event_is_cut_short() {
        let target = "/api/v1/pods?watch=true&timeoutSeconds=290&allowWatchBookmarks=true";
        assert_eq!(Trouble::default().target(target), target);
        let blind = Trouble::of(Some(&Action::DropEvent { event: 1 })).target(target);
        assert_eq!(
            blind,
            "/api/v1/pods?watch=true&timeoutSeconds=20&allowWatchBookmarks=true"
        );
    }

    #[test]
    fn a_watch_ends_and_says_why_where_it_is_to() {
        let (_, told) = seen(Trouble::of(Some(&Action::CloseWatch { after: 1 })));
        assert!(told.ends_with("\"n\":1}\n"), "{told}");
        let (came, told) = seen(Trouble::of(Some(&Action::Gone { after: 1 })));
        assert_eq!(came, 1);
        assert!(
            told.ends_with("\"code\":410}}\n") && !told.contains("\"n\":2"),
            "{told}"
        );
    }
}
