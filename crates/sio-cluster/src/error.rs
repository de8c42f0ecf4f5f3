//! What may be wrong with a message from the broker.

/// What is wrong with a message from the broker: the sender's fault, always, and a reason to skip
/// this message and no other.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// a field is of another type than the format wants
    #[error("the field `{field}` is of another type than the format wants")]
    Field {
        /// The field's name.
        field: &'static str,
    },
    /// the bytes are not the JSON, MessagePack or pickle that the format wants
    #[error("the bytes are not the {syntax} that the format wants, at byte {at}")]
    Syntax {
        /// What they should be.
        syntax: &'static str,
        /// Where reading ended.
        at: usize,
    },
    /// values are nested too deep
    #[error("values are nested deeper than {limit} levels")]
    TooDeep {
        /// How deep they may be.
        limit: usize,
    },
    /// values that are named again and again would grow too large
    #[error("values that are named again and again would weigh more than {limit}")]
    TooLarge {
        /// What they may weigh: one for each value, and one for each byte of text.
        limit: usize,
    },
    /// the message is of a type that the format does not have
    #[error("the message is of a type that the format does not have")]
    UnknownType,
    /// a pickle asks for something to be imported or called, which is never done
    #[error("a pickle asks for something to be imported or called, which is never done")]
    Unsafe,
}

impl DecodeError {
    /// A word for counting: one of six.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Field { .. } => "field",
            Self::Syntax { .. } => "syntax",
            Self::TooDeep { .. } => "too_deep",
            Self::TooLarge { .. } => "too_large",
            Self::UnknownType => "unknown_type",
            Self::Unsafe => "unsafe",
        }
    }
}
