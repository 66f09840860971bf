//! Cuts an answer into the JSON texts that it is made of, as it comes.

/// How an answer is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    /// Not known before the first byte that is no blank.
    Unknown,
    /// Server-sent events: the `data` of each.
    Events,
    /// One JSON text a line.
    Lines,
    /// One JSON text in all.
    Whole,
}

/// A piece of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// One of several.
    Part(Vec<u8>),
    /// The only one: the server does not stream.
    Whole(Vec<u8>),
}

/// Takes bytes and gives pieces. What is not framed as it should be comes out as one whole, for the reader to refuse.
pub(crate) struct Frames {
    framing: Framing,
    by_lines: bool,
    buffer: Vec<u8>,
    /// Up to where the buffer holds no end of a line.
    searched: usize,
    /// The data lines of the event that is being read.
    data: Vec<u8>,
    has_data: bool,
}

impl Frames {
    /// For an answer of that `content-type`; `by_lines` if the protocol writes a JSON text a line.
    pub(crate) fn new(content_type: &str, by_lines: bool) -> Self {
        let is_events = content_type.trim().to_ascii_lowercase().starts_with("text/event-stream");
        Self {
            framing: if is_events { Framing::Events } else { Framing::Unknown },
            by_lines,
            buffer: Vec::new(),
            searched: 0,
            data: Vec::new(),
            has_data: false,
        }
    }

    /// Takes what came; calls `each` with every piece that is whole now, until it fails.
    pub(crate) fn take<E>(
        &mut self,
        bytes: &[u8],
        each: &mut impl FnMut(Piece) -> Result<(), E>,
    ) -> Result<(), E> {
        self.buffer.extend_from_slice(bytes);
        if self.framing == Framing::Unknown {
            let blank = self.buffer.iter().take_while(|it| it.is_ascii_whitespace()).count();
            self.buffer.drain(..blank);
            // Enough to tell `data:` and `event:` from the beginning of anything else.
            if self.buffer.len() < 6 {
                return Ok(());
            }
            self.settle();
        }
        if self.framing == Framing::Whole {
            return Ok(());
        }
        let mut begin = 0;
        let mut done = Ok(());
        while done.is_ok()
            && let Some(at) = self.buffer[self.searched..].iter().position(|it| *it == b'\n')
        {
            let end = self.searched + at;
            self.searched = end + 1;
            let line = self.buffer[begin..end].to_vec();
            begin = end + 1;
            done = self.line(&line, each);
        }
        if done.is_ok() {
            self.searched = self.buffer.len();
        }
        self.buffer.drain(..begin);
        self.searched -= begin;
        done
    }

    /// The end of the answer: what is left is a piece too.
    pub(crate) fn end<E>(mut self, each: &mut impl FnMut(Piece) -> Result<(), E>) -> Result<(), E> {
        if self.framing == Framing::Unknown {
            self.settle();
        }
        let rest = std::mem::take(&mut self.buffer);
        match self.framing {
            // A stream of lines that broke off before the first.
            Framing::Whole | Framing::Unknown if self.by_lines && rest.is_empty() => Ok(()),
            Framing::Whole | Framing::Unknown => each(Piece::Whole(rest)),
            Framing::Events | Framing::Lines => {
                self.line(&rest, each)?;
                self.line(b"", each)
            }
        }
    }

    fn settle(&mut self) {
        let begins = |with: &[u8]| self.buffer.starts_with(with);
        self.framing = if begins(b"data:") || begins(b"event:") || begins(b":") || begins(b"id:") {
            Framing::Events
        } else if self.by_lines && begins(b"{") {
            Framing::Lines
        } else {
            Framing::Whole
        };
    }

    fn line<E>(
        &mut self,
        line: &[u8],
        each: &mut impl FnMut(Piece) -> Result<(), E>,
    ) -> Result<(), E> {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if self.framing == Framing::Lines {
            return if line.trim_ascii().is_empty() {
                Ok(())
            } else {
                each(Piece::Part(line.to_vec()))
            };
        }
        if line.is_empty() {
            let data = std::mem::take(&mut self.data);
            return if std::mem::take(&mut self.has_data) {
                each(Piece::Part(data))
            } else {
                Ok(())
            };
        }
        // The kind of an event stands in its data too; comments keep a connection alive.
        if let Some(data) = line.strip_prefix(b"data:") {
            if std::mem::replace(&mut self.has_data, true) {
                self.data.push(b'\n');
            }
            self.data.extend_from_slice(data.strip_prefix(b" ").unwrap_or(data));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(content_type: &str, by_lines: bool, text: &str, size: usize) -> Vec<Piece> {
        let mut all = Vec::new();
        let mut each = |it| {
            all.push(it);
            Ok::<_, ()>(())
        };
        let mut frames = Frames::new(content_type, by_lines);
        for chunk in text.as_bytes().chunks(size) {
            frames.take(chunk, &mut each).expect("taken");
        }
        frames.end(&mut each).expect("ended");
        all
    }

    fn parts(all: &[&str]) -> Vec<Piece> {
        all.iter().map(|it| Piece::Part(it.as_bytes().to_vec())).collect()
    }

    #[test]
    fn events_come_out_however_the_bytes_are_cut() {
        let text =
            "event: a\r\ndata: {\"x\":1}\r\n\r\n: alive\n\nid: 7\ndata:{\ndata: }\n\ndata: [DONE]";
        for size in 1..text.len() {
            for content_type in ["text/event-stream; charset=utf-8", ""] {
                assert_eq!(
                    pieces(content_type, false, text, size),
                    parts(&["{\"x\":1}", "{\n}", "[DONE]"]),
                    "{size}"
                );
            }
        }
    }

    #[test]
    fn lines_come_out_however_the_bytes_are_cut() {
        let text = "{\"done\":false}\n\n{\"done\":true}\n";
        for size in 1..text.len() {
            let all = pieces("application/x-ndjson", true, text, size);
            assert_eq!(all, parts(&["{\"done\":false}", "{\"done\":true}"]));
        }
    }

    #[test]
    fn what_is_not_framed_is_one_whole() {
        for text in ["{\"choices\": []}", "<html>\n\ndata: no</html>", "[]", "", "ok"] {
            let whole = [Piece::Whole(text.as_bytes().to_vec())];
            assert_eq!(pieces("application/json", false, text, 3), whole, "{text}");
        }
    }
}
