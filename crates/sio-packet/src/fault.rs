//! A failure while reading, with the way back to it; becomes a [`ReadError`] at the very top.
//!
//! It is one pointer wide, so that results stay small where all is well; the path is collected
//! while the failure travels up and costs nothing before.

use std::fmt::{self, Display, Write};

use serde::de::{self, Expected, Unexpected};

use crate::ReadError;

/// A failure while reading.
#[derive(Debug)]
pub(crate) struct Fault(Box<Inner>);

/// Malformed JSON; small and `Copy`, for the scanner.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Syntax {
    pub(crate) at: usize,
    pub(crate) problem: &'static str,
}

#[derive(Debug)]
struct Inner {
    problem: Problem,
    /// From the innermost step to the outermost.
    path: Vec<Step>,
}

#[derive(Debug)]
enum Problem {
    Attachment(&'static str),
    Syntax(Syntax),
    Type(String),
}

#[derive(Debug)]
enum Step {
    Element(usize),
    Member(String),
}

impl Fault {
    #[cold]
    pub(crate) fn attachment(problem: &'static str) -> Self {
        Self::new(Problem::Attachment(problem))
    }

    /// The failure happened inside element `index` of an array.
    #[cold]
    pub(crate) fn in_element(mut self, index: usize) -> Self {
        self.0.path.push(Step::Element(index));
        self
    }

    /// The failure happened inside member `name` of an object.
    #[cold]
    pub(crate) fn in_member(mut self, name: &str) -> Self {
        self.0.path.push(Step::Member(name.to_owned()));
        self
    }

    /// Whether the text itself may still be well-formed.
    pub(crate) fn is_type(&self) -> bool {
        matches!(self.0.problem, Problem::Type(_))
    }

    /// The public error; `root` names the outermost value in paths.
    #[cold]
    pub(crate) fn into_error(self, root: &str) -> ReadError {
        let Inner { problem, path } = *self.0;
        match problem {
            Problem::Attachment(problem) => ReadError::Attachment {
                path: render(root, &path),
                problem,
            },
            Problem::Syntax(Syntax { at, problem }) => ReadError::Syntax {
                offset: at,
                problem,
            },
            Problem::Type(problem) => ReadError::Type {
                path: render(root, &path),
                problem,
            },
        }
    }

    fn new(problem: Problem) -> Self {
        Self(Box::new(Inner {
            problem,
            path: Vec::new(),
        }))
    }
}

impl From<Syntax> for Fault {
    #[cold]
    fn from(syntax: Syntax) -> Self {
        Self::new(Problem::Syntax(syntax))
    }
}

impl de::Error for Fault {
    #[cold]
    fn custom<T: Display>(message: T) -> Self {
        Self::new(Problem::Type(message.to_string()))
    }

    /// In JSON's words where serde has its own.
    #[cold]
    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let found: &dyn Display = match found {
            Unexpected::Bytes(_) => &"an attachment",
            Unexpected::Map => &"an object",
            Unexpected::Seq => &"an array",
            Unexpected::Unit => &"null",
            _ => &found,
        };
        Self::custom(format_args!("invalid type: {found}, expected {expected}"))
    }
}

impl Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.problem {
            Problem::Attachment(problem) | Problem::Syntax(Syntax { problem, .. }) => {
                f.write_str(problem)
            }
            Problem::Type(problem) => f.write_str(problem),
        }
    }
}

impl std::error::Error for Fault {}

fn render(root: &str, path: &[Step]) -> String {
    let mut text = root.to_owned();
    for step in path.iter().rev() {
        match step {
            Step::Element(index) => write!(text, "[{index}]").expect("a string takes all"),
            Step::Member(name) => {
                text.push('.');
                text.push_str(name);
            }
        }
    }
    text
}
