//! JSONP polling, for browsers that can ask another origin by `<script>` and `<form>` only.
//!
//! ```text
//! GET  …&j=0  →  ___eio[0]("<the payload as a JSON string>");
//! POST …&j=0  ←  d=<the payload, its newlines escaped, form-encoded>
//! ```
//!
//! A form turns each newline into CR LF, so the client sends a newline as `\n`, two characters, and
//! these two characters as `\\n`.

use crate::query;

/// The answer to a GET: a script that hands the payload to the callback of that number.
///
/// `payload` is text; bytes that are no UTF-8 are replaced.
///
/// ```
/// use eio_transport::payload::jsonp;
///
/// assert_eq!(jsonp::wrap(0, b"4hello"), br#"___eio[0]("4hello");"#);
/// assert_eq!(jsonp::unwrap("d=4hello").as_deref(), Some("4hello"));
/// ```
pub fn wrap(callback: u64, payload: &[u8]) -> Vec<u8> {
    let payload = String::from_utf8_lossy(payload);
    let mut out = Vec::with_capacity(payload.len() + payload.len() / 4 + 32);
    out.extend_from_slice(b"___eio[");
    out.extend_from_slice(callback.to_string().as_bytes());
    out.extend_from_slice(b"](\"");
    let mut plain = 0;
    for (at, char) in payload.char_indices() {
        let escaped = match char {
            '"' => "\\\"",
            '\\' => "\\\\",
            '\n' => "\\n",
            '\r' => "\\r",
            '\t' => "\\t",
            // JSON, but ends of line to older JavaScript.
            '\u{2028}' => "\\u2028",
            '\u{2029}' => "\\u2029",
            // A page that takes the answer for HTML finds no end of a script in it.
            '<' => "\\u003c",
            '\0'..' ' => "",
            _ => continue,
        };
        out.extend_from_slice(payload[plain..at].as_bytes());
        plain = at + char.len_utf8();
        if escaped.is_empty() {
            out.extend_from_slice(format!("\\u{:04x}", u32::from(char)).as_bytes());
        } else {
            out.extend_from_slice(escaped.as_bytes());
        }
    }
    out.extend_from_slice(payload[plain..].as_bytes());
    out.extend_from_slice(b"\");");
    out
}

/// The payload in the body of a POST; `None` if the form has no field `d`. Of several the last counts.
pub fn unwrap(form: &str) -> Option<String> {
    let fields = form
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let (_, field) = fields.rev().find(|(name, _)| *name == "d")?;
    let field = query::decode(field);
    let mut payload = String::with_capacity(field.len());
    let mut rest = &*field;
    while let Some(at) = rest.find("\\n") {
        // Of the backslashes in front of an `n` the last two count.
        match rest[..at].strip_suffix('\\') {
            Some(before) => {
                payload.push_str(before);
                payload.push_str("\\n");
            }
            None => {
                payload.push_str(&rest[..at]);
                payload.push('\n');
            }
        }
        rest = &rest[at + 2..];
    }
    payload.push_str(rest);
    Some(payload)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn wrapped(payload: &str) -> String {
        String::from_utf8(wrap(7, payload.as_bytes())).unwrap()
    }

    #[test]
    fn an_answer_calls_the_callback_with_a_json_string() {
        assert_eq!(wrapped("2:40"), "___eio[7](\"2:40\");");
        assert_eq!(
            wrapped("4[\"a\\n\"]\x1e4\u{2028}\u{2029}€\x08</script>"),
            "___eio[7](\"4[\\\"a\\\\n\\\"]\\u001e4\\u2028\\u2029€\\u0008\\u003c/script>\");"
        );
    }

    #[test]
    fn a_form_holds_the_payload_in_its_field_d() {
        for (form, payload) in [
            ("d=4%3A42%5B%5D", Some("4:42[]")),
            ("d=a+b%20c", Some("a b c")),
            ("x=1&d=4a&y", Some("4a")),
            ("d=1&d=2", Some("2")),
            ("d=4a%1E4b", Some("4a\x1e4b")),
            // A newline, the two characters, and one backslash more.
            ("d=%5Cn", Some("\n")),
            ("d=%5C%5Cn", Some("\\n")),
            ("d=%5C%5C%5Cn", Some("\\\\n")),
            ("d=%5C", Some("\\")),
            ("d", Some("")),
            ("", None),
            ("e=4a", None),
        ] {
            assert_eq!(unwrap(form).as_deref(), payload, "{form}");
        }
    }

    /// What engine.io-client 3 does with a payload before it sends the form.
    fn encode(payload: &str) -> String {
        let payload = payload.replace("\\n", "\\\n").replace('\n', "\\n");
        let escaped: String = payload.bytes().map(|byte| format!("%{byte:02X}")).collect();
        format!("d={escaped}")
    }

    proptest! {
        #[test]
        fn what_the_client_encodes_is_read_again(payload in "([\\\\n\n]|\\PC){0,30}") {
            // A backslash in front of a newline looks like the two characters when encoded. JSON has
            // no newline of its own, so no packet of Socket.IO comes to it.
            prop_assume!(!payload.contains("\\\n"));
            prop_assert_eq!(unwrap(&encode(&payload)), Some(payload));
        }

        #[test]
        fn an_answer_is_read_by_any_json_parser(payload in "(\\PC|[\0-\x20<\"\\\\])*") {
            let answer = wrapped(&payload);
            let string = answer.strip_prefix("___eio[7](").unwrap().strip_suffix(");").unwrap();
            prop_assert_eq!(serde_json::from_str::<String>(string).unwrap(), payload);
            let broken = ['\n', '\r', '\u{2028}', '\u{2029}', '<'].iter().any(|char| string.contains(*char));
            prop_assert!(!broken, "it is one line of a script");
        }
    }
}
