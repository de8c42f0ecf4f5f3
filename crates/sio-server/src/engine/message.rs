//! A message, as it is received and as it is sent.

use bytes::Bytes;

/// A message that a client sent.
///
/// ```
/// use sio_server::engine::Message;
///
/// let message = Message::Text("héllo".into());
/// assert_eq!((message.as_text(), message.len()), (Some("héllo"), 6)); // in bytes
/// let message = Message::Binary(bytes::Bytes::new());
/// assert!(message.as_text().is_none() && message.is_empty());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Bytes.
    Binary(Bytes),
    /// Text.
    Text(String),
}

impl Message {
    /// The text, if it is one.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Binary(_) => None,
            Self::Text(text) => Some(text),
        }
    }

    /// Its length in bytes.
    pub fn len(&self) -> usize {
        match self {
            Self::Binary(data) => data.len(),
            Self::Text(text) => text.len(),
        }
    }

    /// Whether there is nothing in it, which a message may be.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What is to be sent: text from anything that is some, bytes likewise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content<'a> {
    /// Bytes.
    Binary(&'a [u8]),
    /// Text.
    Text(&'a str),
}

impl<'a> From<&'a Message> for Content<'a> {
    fn from(message: &'a Message) -> Self {
        match message {
            Message::Binary(data) => Self::Binary(data),
            Message::Text(text) => Self::Text(text),
        }
    }
}

impl<'a> From<&'a str> for Content<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<&'a String> for Content<'a> {
    fn from(text: &'a String) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<&'a [u8]> for Content<'a> {
    fn from(data: &'a [u8]) -> Self {
        Self::Binary(data)
    }
}

impl<'a, const N: usize> From<&'a [u8; N]> for Content<'a> {
    fn from(data: &'a [u8; N]) -> Self {
        Self::Binary(data)
    }
}

impl<'a> From<&'a Vec<u8>> for Content<'a> {
    fn from(data: &'a Vec<u8>) -> Self {
        Self::Binary(data)
    }
}

impl<'a> From<&'a Bytes> for Content<'a> {
    fn from(data: &'a Bytes) -> Self {
        Self::Binary(data)
    }
}
