//! As much of HTTP/1.1 as the proxy and the played servers need: heads, bodies by length or in chunks.

use std::io::{self, BufRead, Write};

/// A head longer than this isn't one.
const LONGEST_LINE: usize = 64 * 1024;

/// A request as it came.
#[derive(Debug, Clone, Default)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: Headers,
    pub(crate) body: Vec<u8>,
}

/// The status and headers of an answer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Head {
    pub(crate) status: u16,
    pub(crate) headers: Headers,
}

/// Headers in their order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Headers(Vec<(String, String)>);

impl Headers {
    pub(crate) fn of(headers: &[(&str, &str)]) -> Self {
        Self(
            headers
                .iter()
                .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
                .collect(),
        )
    }

    /// The value of a header.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// Without what belongs to one connection and not to the message.
    pub(crate) fn of_message(&self) -> impl Iterator<Item = (&str, &str)> {
        const OF_CONNECTION: [&str; 5] = [
            "connection",
            "content-length",
            "transfer-encoding",
            "host",
            "keep-alive",
        ];
        self.0
            .iter()
            .filter(|(name, _)| !OF_CONNECTION.iter().any(|n| name.eq_ignore_ascii_case(n)))
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    fn is_chunked(&self) -> bool {
        self.get("transfer-encoding")
            .is_some_and(|v| v.eq_ignore_ascii_case("chunked"))
    }
}

/// Reads a request; `None` when the other side is done.
pub(crate) fn read_request(from: &mut impl BufRead) -> io::Result<Option<Request>> {
    let first = read_line(from)?;
    if first.is_empty() {
        return Ok(None);
    }
    let mut words = first.split(' ');
    let (Some(method), Some(target)) = (words.next(), words.next()) else {
        return Err(wrong("no request line"));
    };
    let headers = read_headers(from)?;
    let body = if headers.is_chunked() {
        read_all_chunks(from)?
    } else {
        read_length(from, length(&headers)?)?
    };
    Ok(Some(Request {
        method: method.to_owned(),
        target: target.to_owned(),
        headers,
        body,
    }))
}

/// Reads the head of an answer.
pub(crate) fn read_head(from: &mut impl BufRead) -> io::Result<Head> {
    let first = read_line(from)?;
    let status = first.split(' ').nth(1).and_then(|s| s.parse().ok());
    Ok(Head {
        status: status.ok_or_else(|| wrong("no status line"))?,
        headers: read_headers(from)?,
    })
}

/// Reads the whole body of an answer.
pub(crate) fn read_body(from: &mut impl BufRead, head: &Head) -> io::Result<Vec<u8>> {
    if head.status == 204 || head.status == 304 {
        return Ok(Vec::new());
    }
    if head.headers.is_chunked() {
        return read_all_chunks(from);
    }
    if head.headers.get("content-length").is_some() {
        return read_length(from, length(&head.headers)?);
    }
    let mut body = Vec::new();
    from.read_to_end(&mut body)?;
    Ok(body)
}

/// The next chunk; `None` at the end.
pub(crate) fn read_chunk(from: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let line = read_line(from)?;
    let size = line.split(';').next().unwrap_or_default().trim();
    let size = usize::from_str_radix(size, 16).map_err(|_| wrong("no size of a chunk"))?;
    let chunk = read_length(from, size)?;
    read_line(from)?;
    Ok((size > 0).then_some(chunk))
}

/// Writes a request that ends its connection.
pub(crate) fn write_request(to: &mut impl Write, request: &Request, host: &str) -> io::Result<()> {
    let first = format!(
        "{} {} HTTP/1.1\r\nhost: {host}\r\nconnection: close",
        request.method, request.target
    );
    let length = format!("content-length: {}", request.body.len());
    write_head(to, &first, request.headers.of_message(), &length)?;
    to.write_all(&request.body)?;
    to.flush()
}

/// Writes a whole answer.
pub(crate) fn write_answer<'h>(
    to: &mut impl Write,
    status: u16,
    headers: impl Iterator<Item = (&'h str, &'h str)>,
    body: &[u8],
) -> io::Result<()> {
    let length = format!("content-length: {}", body.len());
    write_head(to, &format!("HTTP/1.1 {status} -"), headers, &length)?;
    to.write_all(body)?;
    to.flush()
}

/// Begins an answer whose body comes in chunks.
pub(crate) fn begin_chunks<'h>(
    to: &mut impl Write,
    status: u16,
    headers: impl Iterator<Item = (&'h str, &'h str)>,
) -> io::Result<()> {
    write_head(
        to,
        &format!("HTTP/1.1 {status} -"),
        headers,
        "transfer-encoding: chunked",
    )?;
    to.flush()
}

fn write_head<'h>(
    to: &mut impl Write,
    first: &str,
    headers: impl Iterator<Item = (&'h str, &'h str)>,
    framing: &str,
) -> io::Result<()> {
    let mut lines = vec![first.to_owned()];
    lines.extend(headers.map(|(name, value)| format!("{name}: {value}")));
    lines.push(framing.to_owned());
    to.write_all(format!("{}\r\n\r\n", lines.join("\r\n")).as_bytes())
}

/// Writes one chunk; an empty one is the end.
pub(crate) fn write_chunk(to: &mut impl Write, chunk: &[u8]) -> io::Result<()> {
    let mut framed = format!("{:x}\r\n", chunk.len()).into_bytes();
    framed.extend_from_slice(chunk);
    framed.extend_from_slice(b"\r\n");
    to.write_all(&framed)?;
    to.flush()
}

fn read_line(from: &mut impl BufRead) -> io::Result<String> {
    let mut line = Vec::new();
    // By hand: `take` would need the reader by value.
    loop {
        let available = from.fill_buf()?;
        if available.is_empty() {
            break;
        }
        let end = available.iter().position(|b| *b == b'\n');
        let taken = end.map_or(available.len(), |at| at + 1);
        line.extend_from_slice(&available[..taken]);
        from.consume(taken);
        if end.is_some() {
            break;
        }
        if line.len() > LONGEST_LINE {
            return Err(wrong("an endless line"));
        }
    }
    let text = String::from_utf8(line).map_err(|_| wrong("a line that isn't text"))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

fn read_headers(from: &mut impl BufRead) -> io::Result<Headers> {
    let mut headers = Headers::default();
    loop {
        let line = read_line(from)?;
        if line.is_empty() {
            return Ok(headers);
        }
        let (name, value) = line.split_once(':').ok_or_else(|| wrong("no header"))?;
        headers.0.push((name.to_owned(), value.trim().to_owned()));
    }
}

fn length(headers: &Headers) -> io::Result<usize> {
    match headers.get("content-length") {
        Some(text) => text.parse().map_err(|_| wrong("no length")),
        None => Ok(0),
    }
}

fn read_length(from: &mut impl BufRead, length: usize) -> io::Result<Vec<u8>> {
    let mut body = vec![0; length];
    from.read_exact(&mut body)?;
    Ok(body)
}

fn read_all_chunks(from: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(chunk) = read_chunk(from)? {
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn wrong(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read_one_after_the_other() {
        let mut wire: &[u8] = b"POST /a HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}\
            PATCH /b HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
        let first = read_request(&mut wire).unwrap().unwrap();
        assert_eq!(
            (first.method.as_str(), first.body.as_slice()),
            ("POST", &b"{}"[..])
        );
        let second = read_request(&mut wire).unwrap().unwrap();
        assert_eq!(
            (second.target.as_str(), second.body.as_slice()),
            ("/b", &b"abc"[..])
        );
        assert!(read_request(&mut wire).unwrap().is_none());
    }

    #[test]
    fn what_is_cut_off_is_an_error_and_not_an_answer() {
        for cut in [
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nabc",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nab",
        ] {
            let mut wire = cut.as_bytes();
            let head = read_head(&mut wire).unwrap();
            assert!(read_body(&mut wire, &head).is_err(), "{cut}");
        }
    }

    #[test]
    fn chunks_written_are_read_again() {
        let mut wire = Vec::new();
        begin_chunks(&mut wire, 200, std::iter::empty()).unwrap();
        write_chunk(&mut wire, b"{\"a\": 1}\n").unwrap();
        write_chunk(&mut wire, b"").unwrap();
        let mut wire = wire.as_slice();
        let head = read_head(&mut wire).unwrap();
        assert_eq!(read_body(&mut wire, &head).unwrap(), b"{\"a\": 1}\n");
    }
}
