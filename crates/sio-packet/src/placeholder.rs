//! Where an attachment stands in the JSON of its packet: `{"_placeholder":true,"num":0}`.

use crate::scanner::{Number, Scanner};

/// The member that marks a placeholder.
pub(crate) const MARK: &str = "_placeholder";

/// What an object is.
#[derive(Debug)]
pub(crate) enum Found<'de> {
    /// It says that it is a placeholder, and isn't.
    Bad(&'static str),
    /// An ordinary object, or nothing well-formed.
    Nothing,
    /// The place of an attachment; the text goes on at the scanner.
    Placeholder { number: u64, after: Scanner<'de> },
}

/// Looks at the object whose brace is next.
///
/// The two members may come in either order. Beside a mark no third member is allowed, and ahead of
/// the mark only `num`: so the look ahead is short, whatever the object turns out to be.
pub(crate) fn find(mut scanner: Scanner<'_>) -> Found<'_> {
    let mut marked = false;
    let mut number = None;
    scanner.advance();
    loop {
        if scanner.peek() != Some(b'"') {
            return Found::Nothing;
        }
        let Ok(name) = scanner.string() else {
            return Found::Nothing;
        };
        if !scanner.eat(b':') {
            return Found::Nothing;
        }
        match (&*name, scanner.peek()) {
            (MARK, Some(b't')) if !marked && scanner.literal("true").is_ok() => marked = true,
            ("num", Some(b'-' | b'0'..=b'9')) if number.is_none() => match scanner.number() {
                Ok(Number::Positive(value)) => number = Some(Some(value)),
                Ok(_) => number = Some(None),
                Err(_) => return Found::Nothing,
            },
            ("num", _) if marked => return Found::Bad("the number of a placeholder is none"),
            _ if marked => return Found::Bad("a placeholder has members besides its number"),
            _ => return Found::Nothing,
        }
        match scanner.peek() {
            Some(b',') => scanner.advance(),
            Some(b'}') => break,
            _ => return Found::Nothing,
        }
    }
    scanner.advance();
    match number {
        _ if !marked => Found::Nothing,
        Some(Some(number)) => Found::Placeholder {
            number,
            after: scanner,
        },
        _ => Found::Bad("the number of a placeholder is none"),
    }
}
