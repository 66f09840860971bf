//! A lean HTTP/1.1 client with one kept-alive connection: the load generator must not be what is measured.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use serde_json::Value as Json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// How much is read at once.
const READ_BYTES: usize = 64 * 1024;

/// A head longer than this is none.
const LONGEST_HEAD: usize = 64 * 1024;

/// One connection to the server. Requests follow one another on it; it is made anew when the server closed it.
#[derive(Debug)]
pub(crate) struct Client {
    address: SocketAddr,
    key: String,
    stream: Option<TcpStream>,
    /// What was read and not yet used, from [`used`](Self::used) on.
    buffer: Vec<u8>,
    used: usize,
    request: Vec<u8>,
}

/// A response that was read to its end.
#[derive(Clone, Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    /// Seconds to wait, where the server says so.
    pub(crate) retry_after: Option<u64>,
    /// Empty if the body went elsewhere.
    pub(crate) body: Vec<u8>,
    /// Bytes of the body.
    pub(crate) length: u64,
}

impl Response {
    /// The body as JSON.
    ///
    /// # Errors
    /// If it is none.
    pub(crate) fn json(&self) -> Result<Json> {
        serde_json::from_slice(&self.body).with_context(|| {
            let text = String::from_utf8_lossy(&self.body);
            format!("status {} with a body that is no JSON: {:.200}", self.status, text)
        })
    }

    /// `data` of a body in the envelope.
    ///
    /// # Errors
    /// If the status is not of success; the text then has the server's own message.
    pub(crate) fn data(&self) -> Result<Json> {
        let mut body = self.json()?;
        if !(200..300).contains(&self.status) {
            let error = &body["error"];
            let message = error["message"].as_str().unwrap_or("without a message");
            bail!("{} {}: {message} {}", self.status, error["code"], error["details"]);
        }
        Ok(body["data"].take())
    }
}

struct Head {
    status: u16,
    body: Framing,
    keep_alive: bool,
    retry_after: Option<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Framing {
    Sized(u64),
    Chunked,
    UntilClosed,
}

impl Client {
    /// A client of the server at this address; connects when it is first used. `key` is the API key.
    pub(crate) fn new(address: SocketAddr, key: &str) -> Self {
        let (buffer, request) = (Vec::new(), Vec::new());
        Self { address, key: key.to_owned(), stream: None, buffer, used: 0, request }
    }

    /// Sends a request and reads the whole response.
    ///
    /// # Errors
    /// If the server cannot be reached, hangs up, or speaks something else than HTTP/1.1. Statuses are no errors.
    pub(crate) async fn request(
        &mut self,
        method: &str,
        path: &str,
        body: Option<&Json>,
    ) -> Result<Response> {
        let body = body.map(Json::to_string);
        let mut read = Vec::new();
        let mut response = self
            .send(method, path, body.as_deref().map(str::as_bytes), |part| {
                read.extend_from_slice(part);
            })
            .await?;
        response.body = read;
        Ok(response)
    }

    /// Sends a request with a ready body and hands each part of the response's body on as it comes.
    ///
    /// # Errors
    /// As [`request`](Self::request).
    pub(crate) async fn send(
        &mut self,
        method: &str,
        path: &str,
        body: Option<&[u8]>,
        mut sink: impl FnMut(&[u8]),
    ) -> Result<Response> {
        let reused = self.stream.is_some();
        match self.exchange(method, path, body, &mut sink).await {
            // A kept connection may have been closed in the meantime: then nothing of the answer has come.
            Err(Exchange::Closed) if reused => {
                self.exchange(method, path, body, &mut sink).await.map_err(Exchange::into_error)
            }
            outcome => outcome.map_err(Exchange::into_error),
        }
        .with_context(|| format!("{method} {path}"))
    }

    async fn exchange(
        &mut self,
        method: &str,
        path: &str,
        body: Option<&[u8]>,
        sink: &mut impl FnMut(&[u8]),
    ) -> Result<Response, Exchange> {
        // Whoever is dropped in the middle leaves half a response: the connection comes back when all is read.
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => self.connect().await?,
        };
        self.write_request(method, path, body);
        if stream.write_all(&self.request).await.is_err() {
            return Err(Exchange::Closed);
        }
        let head = self.read_head(&mut stream).await?;
        let length = match head.body {
            Framing::Sized(length) => self.read_sized(&mut stream, length, sink).await?,
            Framing::Chunked => self.read_chunked(&mut stream, sink).await?,
            Framing::UntilClosed => self.read_rest(&mut stream, sink).await?,
        };
        if head.keep_alive {
            self.stream = Some(stream);
        }
        let Head { status, retry_after, .. } = head;
        Ok(Response { status, retry_after, body: Vec::new(), length })
    }

    async fn connect(&mut self) -> Result<TcpStream> {
        let stream = TcpStream::connect(self.address)
            .await
            .with_context(|| format!("connecting to {}", self.address))?;
        stream.set_nodelay(true)?;
        self.buffer.clear();
        self.used = 0;
        Ok(stream)
    }

    fn write_request(&mut self, method: &str, path: &str, body: Option<&[u8]>) {
        let head = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\n", self.address);
        self.request.clear();
        self.request.extend_from_slice(head.as_bytes());
        if !self.key.is_empty() {
            self.request.extend_from_slice(b"authorization: Bearer ");
            self.request.extend_from_slice(self.key.as_bytes());
            self.request.extend_from_slice(b"\r\n");
        }
        if let Some(body) = body {
            let head =
                format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len());
            self.request.extend_from_slice(head.as_bytes());
        }
        self.request.extend_from_slice(b"\r\n");
        self.request.extend_from_slice(body.unwrap_or_default());
    }

    /// Reads more into the buffer; `false` at the end of the stream.
    async fn fill(&mut self, stream: &mut TcpStream) -> Result<bool> {
        if self.used == self.buffer.len() {
            self.buffer.clear();
            self.used = 0;
        }
        self.buffer.reserve(READ_BYTES);
        Ok(stream.read_buf(&mut self.buffer).await? > 0)
    }

    fn unused(&self) -> &[u8] {
        &self.buffer[self.used..]
    }

    async fn read_head(&mut self, stream: &mut TcpStream) -> Result<Head, Exchange> {
        let mut looked_at = 0;
        loop {
            let from = looked_at.max(3) - 3;
            let end = self.unused()[from.min(self.unused().len())..]
                .windows(4)
                .position(|bytes| bytes == b"\r\n\r\n");
            if let Some(at) = end {
                let length = from + at + 4;
                let head = parse_head(&self.unused()[..length])?;
                self.used += length;
                if head.status != 100 {
                    return Ok(head);
                }
                looked_at = 0;
                continue;
            }
            looked_at = self.unused().len();
            if looked_at > LONGEST_HEAD {
                return Err(anyhow!("the response has no end of its head").into());
            }
            let nothing_yet = self.unused().is_empty();
            match self.fill(stream).await {
                Ok(true) => {}
                Ok(false) | Err(_) if nothing_yet => return Err(Exchange::Closed),
                Ok(false) => return Err(anyhow!("the server hung up within the head").into()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn read_sized(
        &mut self,
        stream: &mut TcpStream,
        length: u64,
        sink: &mut impl FnMut(&[u8]),
    ) -> Result<u64> {
        let mut left = length;
        loop {
            let here = usize::try_from(left).unwrap_or(usize::MAX).min(self.unused().len());
            sink(&self.buffer[self.used..self.used + here]);
            self.used += here;
            left -= here as u64;
            if left == 0 {
                return Ok(length);
            }
            ensure!(self.fill(stream).await?, "the server hung up within the body");
        }
    }

    async fn read_chunked(
        &mut self,
        stream: &mut TcpStream,
        sink: &mut impl FnMut(&[u8]),
    ) -> Result<u64> {
        let mut total = 0;
        loop {
            let line = self.read_line(stream).await?;
            let size = line.split(';').next().unwrap_or_default().trim();
            let size = u64::from_str_radix(size, 16)
                .with_context(|| format!("`{line}` is no size of a chunk"))?;
            if size == 0 {
                while !self.read_line(stream).await?.is_empty() {}
                return Ok(total);
            }
            total += self.read_sized(stream, size, sink).await?;
            ensure!(self.read_line(stream).await?.is_empty(), "a chunk is longer than it says");
        }
    }

    async fn read_line(&mut self, stream: &mut TcpStream) -> Result<String> {
        loop {
            if let Some(at) = self.unused().windows(2).position(|bytes| bytes == b"\r\n") {
                let line = String::from_utf8_lossy(&self.unused()[..at]).into_owned();
                self.used += at + 2;
                return Ok(line);
            }
            ensure!(self.unused().len() < LONGEST_HEAD, "a line of the response has no end");
            ensure!(self.fill(stream).await?, "the server hung up within the body");
        }
    }

    async fn read_rest(
        &mut self,
        stream: &mut TcpStream,
        sink: &mut impl FnMut(&[u8]),
    ) -> Result<u64> {
        let mut total = 0;
        loop {
            sink(self.unused());
            total += self.unused().len() as u64;
            self.used = self.buffer.len();
            if !self.fill(stream).await? {
                return Ok(total);
            }
        }
    }
}

/// Why an exchange failed.
enum Exchange {
    /// The connection was closed before anything of the response came.
    Closed,
    Failed(anyhow::Error),
}

impl Exchange {
    fn into_error(self) -> anyhow::Error {
        match self {
            Self::Closed => anyhow!("the server hung up without an answer"),
            Self::Failed(error) => error,
        }
    }
}

impl From<anyhow::Error> for Exchange {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(error)
    }
}

fn parse_head(head: &[u8]) -> Result<Head> {
    let text = std::str::from_utf8(head).context("the response's head is no text")?;
    let mut lines = text.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.strip_prefix("HTTP/1.1 "))
        .and_then(|line| line.get(..3)?.parse().ok())
        .context("the response does not begin like HTTP/1.1")?;
    let bare = status == 204 || status == 304;
    let body = if bare { Framing::Sized(0) } else { Framing::UntilClosed };
    let mut head = Head { status, body, keep_alive: true, retry_after: None };
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            let length = value.parse().context("the content length is no number")?;
            head.body = Framing::Sized(length);
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            head.body = Framing::Chunked;
        } else if name.eq_ignore_ascii_case("connection") {
            head.keep_alive = !value.eq_ignore_ascii_case("close");
        } else if name.eq_ignore_ascii_case("retry-after") {
            head.retry_after = value.parse().ok();
        }
    }
    head.keep_alive &= head.body != Framing::UntilClosed;
    Ok(head)
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// A server that answers each request on each connection with the next of these, written in small parts.
    async fn scripted(connections: Vec<Vec<&'static str>>) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            for answers in connections {
                let (mut stream, _) = listener.accept().await.unwrap();
                for answer in answers {
                    let mut seen = Vec::new();
                    while !seen.ends_with(b"\r\n\r\n") && !seen.ends_with(b"}") {
                        if stream.read_buf(&mut seen).await.unwrap() == 0 {
                            return;
                        }
                    }
                    for part in answer.as_bytes().chunks(7) {
                        stream.write_all(part).await.unwrap();
                        tokio::task::yield_now().await;
                    }
                }
            }
        });
        address
    }

    #[tokio::test]
    async fn sized_and_chunked_bodies_follow_one_another_on_one_connection() {
        let address = scripted(vec![vec![
            "HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n{\"data\":[1]} ",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"dat\r\n6;x=y\r\na\":[2]\r\n1\r\n}\r\n0\r\n\r\n",
            "HTTP/1.1 204 No Content\r\n\r\n",
            "HTTP/1.1 429 Too Many Requests\r\nretry-after: 7\r\ncontent-length: 2\r\n\r\n{}",
        ]])
        .await;
        let mut client = Client::new(address, "key");
        let body = serde_json::json!({ "a": 1 });
        let first = client.request("POST", "/", Some(&body)).await.unwrap();
        assert_eq!(first.data().unwrap(), serde_json::json!([1]));
        let second = client.request("GET", "/", None).await.unwrap();
        assert_eq!(second.data().unwrap(), serde_json::json!([2]));
        assert_eq!(client.request("DELETE", "/", None).await.unwrap().status, 204);
        let last = client.request("GET", "/", None).await.unwrap();
        assert_eq!((last.status, last.retry_after), (429, Some(7)));
    }

    #[tokio::test]
    async fn a_connection_that_the_server_closed_is_made_anew() {
        let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
        let closing = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{\"data\":1}";
        let address = scripted(vec![vec![answer], vec![closing], vec![answer]]).await;
        let mut client = Client::new(address, "");
        for _ in 0..3 {
            assert_eq!(client.request("GET", "/", None).await.unwrap().status, 200);
        }
    }

    #[tokio::test]
    async fn half_an_answer_is_an_error() {
        let address = scripted(vec![vec!["HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n{}"]]).await;
        let error = Client::new(address, "").request("GET", "/x", None).await.unwrap_err();
        assert!(format!("{error:#}").contains("hung up within the body"), "{error:#}");
    }

    #[test]
    fn an_error_in_the_envelope_is_told_in_its_own_words() {
        let body =
            br#"{"error":{"code":"not_found","message":"no such connection","details":null}}"#;
        let response = Response { status: 404, retry_after: None, body: body.to_vec(), length: 0 };
        let error = response.data().unwrap_err().to_string();
        assert!(error.contains("404") && error.contains("no such connection"), "{error}");
    }
}
