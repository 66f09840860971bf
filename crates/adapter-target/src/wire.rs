//! What comes from a server: cut into messages, with a limit on each before it is buffered.

use bytes::{Buf as _, Bytes, BytesMut};
use fallible_iterator::FallibleIterator as _;
use plinth_connections::listening::Notification;
use plinth_queries::{DatabaseMessage, ResultColumn};
use postgres_protocol::message::backend::{
    self, ErrorResponseBody, Header, Message, RowDescriptionBody,
};

/// Messages other than rows may have this many bytes. The largest that honest servers send describe 1,664 columns, in some 200 kB.
const OTHER_BYTES: usize = 1 << 20;

/// Read at once; rows are cut out of the buffer without a copy.
const READ_BYTES: usize = 64 << 10;

/// The longest text of an error that is kept, in bytes.
const TEXT_BYTES: usize = 4 << 10;

/// One message from the server.
pub(crate) enum Frame {
    /// The body of a `DataRow`.
    Row(Bytes),
    ParseComplete,
    BindComplete,
    CommandComplete,
    EmptyQuery,
    NoData,
    Columns(RowDescriptionBody),
    Error(ErrorResponseBody),
    /// The transaction's status: `I`, `T` or `E`.
    Ready(u8),
    /// What the database said, where that is wanted.
    Notification(Notification),
    /// A notice, a changed setting, a notification, or that something was closed: nothing to us.
    Aside,
    /// What belongs to logging in, or nowhere.
    Other(Message),
}

/// Why the bytes cannot be read further. The session is of no more use.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum FrameError {
    /// A row is larger than allowed; none of it was kept.
    RowTooLarge,
    /// It is not the protocol.
    Malformed,
}

/// Cuts a stream of bytes into messages.
#[derive(Debug)]
pub(crate) struct Frames {
    pub(crate) buffer: BytesMut,
    pub(crate) row_bytes: usize,
    /// Whether notifications are wanted.
    pub(crate) keeps_notifications: bool,
    /// Whether [`Self::tag`] is wanted.
    pub(crate) keeps_tags: bool,
    /// What the newest `CommandComplete` said, like `UPDATE 3`.
    pub(crate) tag: String,
}

impl Frames {
    pub(crate) fn new() -> Self {
        Self {
            buffer: BytesMut::new(),
            row_bytes: OTHER_BYTES,
            keeps_notifications: false,
            keeps_tags: false,
            tag: String::new(),
        }
    }

    /// The next message, if all of it has come.
    ///
    /// # Errors
    ///
    /// See [`FrameError`]; a message that is too long is refused as soon as its header is here.
    pub(crate) fn next(&mut self) -> Result<Option<Frame>, FrameError> {
        let Some(header) = Header::parse(&self.buffer).map_err(|_| FrameError::Malformed)? else {
            return Ok(None);
        };
        let tag = header.tag();
        let body = usize::try_from(header.len() - 4).map_err(|_| FrameError::Malformed)?;
        let whole = body + 5;
        if tag == backend::DATA_ROW_TAG {
            if body > self.row_bytes {
                return Err(FrameError::RowTooLarge);
            }
        } else if body > OTHER_BYTES {
            return Err(FrameError::Malformed);
        }
        if self.buffer.len() < whole {
            return Ok(None);
        }
        let empty = |frame| if body == 0 { Ok(frame) } else { Err(FrameError::Malformed) };
        let frame = match tag {
            backend::DATA_ROW_TAG => {
                self.buffer.advance(5);
                return Ok(Some(Frame::Row(self.buffer.split_to(body).freeze())));
            }
            backend::PARSE_COMPLETE_TAG => empty(Frame::ParseComplete)?,
            backend::BIND_COMPLETE_TAG => empty(Frame::BindComplete)?,
            backend::EMPTY_QUERY_RESPONSE_TAG => empty(Frame::EmptyQuery)?,
            backend::NO_DATA_TAG => empty(Frame::NoData)?,
            backend::COMMAND_COMPLETE_TAG => {
                if self.keeps_tags {
                    let text = self.buffer[5..whole].split(|it| *it == 0).next();
                    self.tag = String::from_utf8_lossy(text.unwrap_or_default()).into_owned();
                }
                Frame::CommandComplete
            }
            backend::READY_FOR_QUERY_TAG if body == 1 => Frame::Ready(self.buffer[5]),
            backend::NOTIFICATION_RESPONSE_TAG if !self.keeps_notifications => Frame::Aside,
            backend::NOTICE_RESPONSE_TAG | backend::PARAMETER_STATUS_TAG => Frame::Aside,
            backend::CLOSE_COMPLETE_TAG => empty(Frame::Aside)?,
            _ => {
                // The parser takes exactly this message: it is complete, and its length was judged above.
                return match Message::parse(&mut self.buffer) {
                    Ok(Some(Message::RowDescription(it))) => Ok(Some(Frame::Columns(it))),
                    Ok(Some(Message::ErrorResponse(it))) => Ok(Some(Frame::Error(it))),
                    Ok(Some(Message::NotificationResponse(it))) => {
                        let read = |text: std::io::Result<&str>| text.map(str::to_owned);
                        let (channel, payload) = (read(it.channel()), read(it.message()));
                        match channel.and_then(|channel| Ok((channel, payload?))) {
                            Ok((channel, payload)) => {
                                Ok(Some(Frame::Notification(Notification { channel, payload })))
                            }
                            Err(_) => Err(FrameError::Malformed),
                        }
                    }
                    Ok(Some(it)) => Ok(Some(Frame::Other(it))),
                    Ok(None) | Err(_) => Err(FrameError::Malformed),
                };
            }
        };
        self.buffer.advance(whole);
        Ok(Some(frame))
    }

    /// Makes room for the next read. It grows with what has come, not with what a header promises.
    pub(crate) fn make_room(&mut self) {
        let room = self.buffer.capacity() - self.buffer.len();
        if room < READ_BYTES / 4 {
            self.buffer.reserve(READ_BYTES.max(self.buffer.len()));
        }
    }
}

/// The columns that a `RowDescription` names.
///
/// # Errors
///
/// [`FrameError::Malformed`] if its fields do not add up, or a column is not in the text format.
pub(crate) fn columns(body: &RowDescriptionBody) -> Result<Vec<ResultColumn>, FrameError> {
    let mut fields = body.fields();
    let mut columns = Vec::with_capacity(fields.size_hint().0.min(1664));
    while let Some(field) = fields.next().map_err(|_| FrameError::Malformed)? {
        if field.format() != 0 {
            return Err(FrameError::Malformed);
        }
        columns.push(ResultColumn {
            name: field.name().to_owned(),
            type_oid: field.type_oid(),
            type_modifier: field.type_modifier(),
        });
    }
    Ok(columns)
}

/// What an `ErrorResponse` says.
#[derive(Clone, Debug, Default)]
pub(crate) struct ServerError {
    pub(crate) sqlstate: String,
    pub(crate) message: String,
    pub(crate) detail: Option<String>,
    pub(crate) hint: Option<String>,
    /// In characters from 1, in the statement that was sent.
    pub(crate) position: Option<u32>,
    /// Whether the server ends the session.
    pub(crate) fatal: bool,
}

impl ServerError {
    /// # Errors
    ///
    /// [`FrameError::Malformed`] if its fields do not add up.
    pub(crate) fn read(body: &ErrorResponseBody) -> Result<Self, FrameError> {
        let mut error = Self { sqlstate: "XX000".to_owned(), ..Self::default() };
        let mut fields = body.fields();
        while let Some(field) = fields.next().map_err(|_| FrameError::Malformed)? {
            let bytes = field.value_bytes();
            let text = || -> String {
                let cut = &bytes[..bytes.len().min(TEXT_BYTES)];
                String::from_utf8_lossy(cut).into_owned()
            };
            match field.type_() {
                b'V' => error.fatal = matches!(bytes, b"FATAL" | b"PANIC"),
                b'C' if bytes.len() == 5 && bytes.iter().all(u8::is_ascii_alphanumeric) => {
                    error.sqlstate = text();
                }
                b'M' => error.message = text(),
                b'D' => error.detail = Some(text()),
                b'H' => error.hint = Some(text()),
                b'P' => error.position = text().parse().ok(),
                _ => {}
            }
        }
        Ok(error)
    }
}

impl From<ServerError> for DatabaseMessage {
    fn from(error: ServerError) -> Self {
        let ServerError { sqlstate, message, detail, hint, position, .. } = error;
        Self { sqlstate, message, detail, hint, position }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Everything that comes out of the bytes, given in pieces that end at `cuts`.
    fn read(bytes: &[u8], cuts: &[usize]) -> (Vec<String>, Option<FrameError>) {
        let mut frames = Frames::new();
        frames.row_bytes = 100;
        let mut cuts: Vec<_> = cuts.iter().map(|it| it % (bytes.len() + 1)).collect();
        cuts.push(bytes.len());
        cuts.sort_unstable();
        let (mut seen, mut from) = (Vec::new(), 0);
        for to in cuts {
            frames.buffer.extend_from_slice(&bytes[from..to]);
            from = to;
            loop {
                match frames.next() {
                    Ok(Some(it)) => seen.push(name(&it)),
                    Ok(None) => break,
                    Err(error) => return (seen, Some(error)),
                }
            }
        }
        (seen, None)
    }

    fn name(frame: &Frame) -> String {
        match frame {
            Frame::Row(body) => format!("row {body:?}"),
            Frame::ParseComplete => "parse".into(),
            Frame::BindComplete => "bind".into(),
            Frame::CommandComplete => "complete".into(),
            Frame::EmptyQuery => "empty".into(),
            Frame::NoData => "no data".into(),
            Frame::Columns(body) => format!("{:?}", columns(body)),
            Frame::Error(body) => format!("{:?}", ServerError::read(body)),
            Frame::Ready(status) => format!("ready {status}"),
            Frame::Notification(body) => format!("notification {body:?}"),
            Frame::Aside => "aside".into(),
            Frame::Other(_) => "other".into(),
        }
    }

    /// Mostly well-formed messages, so that the reader gets beyond the first.
    fn stream() -> impl Strategy<Value = Vec<u8>> {
        let tag = prop::sample::select(b"RKZSNA12CDETInts3GHx".to_vec());
        let message = (tag, prop::collection::vec(any::<u8>(), 0..40)).prop_map(|(tag, body)| {
            let length = u32::try_from(body.len() + 4).unwrap();
            [&[tag][..], &length.to_be_bytes(), &body].concat()
        });
        prop::collection::vec(message, 0..20).prop_map(|it| it.concat())
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_do_no_harm(bytes: Vec<u8>) {
            read(&bytes, &[]);
        }

        #[test]
        fn where_the_network_cuts_makes_no_difference(bytes in stream(), cuts: Vec<usize>) {
            prop_assert_eq!(read(&bytes, &[]), read(&bytes, &cuts));
        }
    }

    #[test]
    fn a_long_row_is_refused_by_its_header() {
        let header = [b"D".as_slice(), &500_000_000_u32.to_be_bytes()].concat();
        assert_eq!(read(&header, &[]).1, Some(FrameError::RowTooLarge));
        let header = [b"T".as_slice(), &500_000_000_u32.to_be_bytes()].concat();
        assert_eq!(read(&header, &[]).1, Some(FrameError::Malformed));
    }

    #[test]
    fn an_error_without_a_code_has_the_general_one() {
        let body = b"SERROR\0Mno\0P12\0\0";
        let length = u32::try_from(body.len() + 4).unwrap();
        let message = [b"E".as_slice(), &length.to_be_bytes(), body].concat();
        let mut frames = Frames::new();
        frames.buffer.extend_from_slice(&message);
        let Ok(Some(Frame::Error(body))) = frames.next() else { panic!("no error") };
        let error = ServerError::read(&body).unwrap();
        assert_eq!((error.sqlstate.as_str(), error.position), ("XX000", Some(12)));
    }
}
