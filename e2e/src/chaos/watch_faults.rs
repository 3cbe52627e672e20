//! A watch, event by event: handed on, left out, or broken off, as a plan says of each.

use std::io::{self, BufRead, ErrorKind, Write};
use std::time::{Duration, Instant};

use super::wire::{self, Head};

/// How long a watch that left something out, or that follows a list of before, goes on like this. Longer than the
/// operator believes its own answers over a watch.
pub(crate) const BLIND: Duration = Duration::from_secs(15);

/// What becomes of something that a watch is about to tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    /// The operator hears it.
    Whole,
    /// It doesn't; and after [`BLIND`] it is said that the watch is too old.
    LeftOut,
    /// It is said at once, in place of it.
    TooOld,
    /// The connection ends in place of it.
    CutOff,
}

/// Hands a watch on until one of the two sides, or a fault, ends it. `limit` is called when something was left out: from
/// then on reading gives up by itself.
pub(crate) fn hand_on(
    from: &mut impl BufRead,
    head: &Head,
    to: &mut impl Write,
    limit: impl Fn() -> io::Result<()>,
    mut decide: impl FnMut() -> Told,
) -> io::Result<()> {
    wire::begin_chunks(to, head.status, head.headers.of_message())?;
    let mut line = Vec::new();
    let mut blind_since: Option<Instant> = None;
    loop {
        let chunk = match wire::read_chunk(from) {
            Err(error) if blind_since.is_some() && is_timeout(&error) => return too_old(to),
            read => read?,
        };
        let Some(chunk) = chunk else {
            // Watches that end in good order go on from where they were: what was left out would never be told.
            if blind_since.is_some() {
                return too_old(to);
            }
            return wire::write_chunk(to, b"");
        };
        if blind_since.is_some_and(|since| since.elapsed() >= BLIND) {
            return too_old(to);
        }
        // The API server's chunks needn't be events: these end with a line.
        for byte in chunk {
            line.push(byte);
            if byte != b'\n' {
                continue;
            }
            let event = std::mem::take(&mut line);
            match if is_bookmark(&event) {
                Told::Whole
            } else {
                decide()
            } {
                Told::Whole => wire::write_chunk(to, &event)?,
                Told::LeftOut => {
                    blind_since = blind_since.or_else(|| Some(Instant::now()));
                    limit()?;
                }
                Told::TooOld => return too_old(to),
                Told::CutOff => return Err(ErrorKind::ConnectionAborted.into()),
            }
        }
    }
}

/// The end of a watch whose version is no longer kept.
pub(crate) fn too_old(to: &mut impl Write) -> io::Result<()> {
    wire::write_chunk(to, TOO_OLD.as_bytes())?;
    wire::write_chunk(to, b"")
}

const TOO_OLD: &str = concat!(
    r#"{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","#,
    r#""message":"too old resource version","reason":"Expired","code":410}}"#,
    "\n"
);

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// Bookmarks come by the clock.
fn is_bookmark(event: &[u8]) -> bool {
    event.starts_with(br#"{"type":"BOOKMARK""#)
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Read};

    use super::*;

    const EVENTS: [&str; 4] = [
        "{\"type\":\"ADDED\",\"n\":1}\n",
        "{\"type\":\"MODI",
        "FIED\",\"n\":2}\n{\"type\":\"BOOKMARK\"}\n",
        "{\"type\":\"ADDED\",\"n\":3}\n",
    ];

    fn wire_of(chunks: &[&str]) -> Vec<u8> {
        let mut wire = Vec::new();
        for chunk in chunks {
            wire::write_chunk(&mut wire, chunk.as_bytes()).unwrap();
        }
        wire
    }

    /// Whether it ended in good order, and what the operator sees of a watch when this becomes of its events.
    fn seen(from: impl Read, fates: &[Told]) -> (bool, String) {
        let head = Head {
            status: 200,
            ..Head::default()
        };
        let mut fates = fates.iter();
        let decide = || *fates.next().unwrap_or(&Told::Whole);
        let mut told = Vec::new();
        let ended = hand_on(&mut BufReader::new(from), &head, &mut told, || Ok(()), decide).is_ok();
        let mut text = String::from_utf8(told).unwrap();
        if let Some(end) = text.find("\r\n\r\n") {
            text.drain(..end);
        }
        (ended, text)
    }

    fn whole() -> Vec<u8> {
        let mut wire = wire_of(&EVENTS);
        wire::write_chunk(&mut wire, b"").unwrap();
        wire
    }

    #[test]
    fn a_watch_without_faults_is_told_whole_and_bookmarks_are_nobodys_count() {
        let (ended, told) = seen(&whole()[..], &[]);
        assert!(
            ended && told.contains("\"n\":2") && told.contains("BOOKMARK"),
            "{told}"
        );
        let (_, told) = seen(&whole()[..], &[Told::Whole, Told::Whole, Told::LeftOut]);
        assert!(
            told.contains("\"n\":2") && told.contains("BOOKMARK") && !told.contains("\"n\":3"),
            "{told}"
        );
    }

    #[test]
    fn what_was_left_out_is_made_up_for_when_the_watch_ends_and_when_nothing_more_comes() {
        for (wire, nothing_more) in [(whole(), false), (wire_of(&EVENTS), true)] {
            let silence = Silence(nothing_more);
            let (ended, told) = seen(wire.chain(silence), &[Told::LeftOut]);
            assert!(
                ended && !told.contains("\"n\":1") && told.contains("\"n\":3"),
                "{told}"
            );
            assert!(told.contains("\"code\":410"), "everything is listed anew: {told}");
        }
    }

    #[test]
    fn a_watch_is_broken_off_in_place_of_an_event() {
        let (ended, told) = seen(&whole()[..], &[Told::Whole, Told::TooOld]);
        assert!(
            ended && told.contains("\"code\":410") && !told.contains("\"n\":2"),
            "{told}"
        );
        let (ended, told) = seen(&whole()[..], &[Told::Whole, Told::CutOff]);
        assert!(
            !ended && told.contains("\"n\":1") && !told.contains("410"),
            "{told}"
        );
    }

    /// A connection on which nothing comes until reading gives up, or one that is closed.
    struct Silence(bool);

    impl Read for Silence {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            if self.0 {
                return Err(ErrorKind::WouldBlock.into());
            }
            Ok(0)
        }
    }
}
