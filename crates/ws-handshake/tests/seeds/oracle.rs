//! The handshake once more, written from RFC 6455 and for nothing but being obviously right.
//!
//! The fuzz targets `handshake` and `extensions` (in `fuzz/` at the root) call the functions of the
//! same name; so do the tests of this crate, over the seeds.

use http::Version;
use ws_handshake::{
    DeflateOffer, DeflatePolicy, HandshakeError, OriginPattern, OriginPolicy, Policy, Request,
    Upgrade,
};

/// A head as text: a line of method, minor version and `:protocol`, then the fields.
pub(crate) fn handshake(data: &[u8]) {
    let mut lines = data.split(|&b| b == b'\n');
    let first = lines
        .next()
        .and_then(|line| str::from_utf8(line).ok())
        .unwrap_or("");
    let mut words = first.split(' ');
    let (method, version, protocol) = (words.next().unwrap_or(""), words.next(), words.next());
    let version = match version {
        Some("1.1") => Version::HTTP_11,
        Some("2") => Version::HTTP_2,
        _ => Version::HTTP_10,
    };
    let fields: Vec<(String, Vec<u8>)> = lines
        .filter_map(|line| {
            let colon = line.iter().position(|&b| b == b':')?;
            let name = str::from_utf8(&line[..colon]).ok()?;
            Some((name.to_owned(), line[colon + 1..].trim_ascii().to_vec()))
        })
        .collect();

    let upgrade = Upgrade::check(method, version, &fields);
    let expected = naive_check(method, version, &fields);
    assert_eq!(
        upgrade.as_ref().err(),
        expected.as_ref().err(),
        "{fields:?}"
    );
    let connect = Upgrade::check_connect(method, version, protocol, &fields);
    for upgrade in upgrade.into_iter().chain(connect) {
        check_agreement(&upgrade);
    }

    let listed = ["https://*.a.b", "http://c"].map(|p| p.parse::<OriginPattern>().unwrap());
    let same = OriginPolicy::SameHost.check(&fields);
    let strict = OriginPolicy::Listed(listed.to_vec()).check(&fields);
    let both = OriginPolicy::SameHostOr(listed.to_vec()).check(&fields);
    assert_eq!(both.is_ok(), same.is_ok() || strict.is_ok(), "{fields:?}");
    assert_eq!(OriginPolicy::Any.check(&fields), Ok(()));

    let mut request = Request::new("a", "/", [7; 16]);
    request.deflate = Some(DeflateOffer::default());
    // Nobody knows the answer to this key but us.
    assert!(request.check(101, &fields).is_err());
}

/// The value of one `Sec-WebSocket-Extensions` field.
pub(crate) fn extensions(data: &[u8]) {
    let fields = [
        ("host", &b"a"[..]),
        ("upgrade", b"websocket"),
        ("connection", b"upgrade"),
        ("sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-version", b"13"),
        ("sec-websocket-extensions", data),
    ];
    let printed = match Upgrade::check("GET", Version::HTTP_11, &fields) {
        Err(HandshakeError::Extensions) => None,
        Err(error) => panic!("{error}"),
        Ok(upgrade) => {
            check_agreement(&upgrade);
            Some(
                upgrade
                    .offers()
                    .map(|offer| offer.to_string())
                    .collect::<Vec<_>>(),
            )
        }
    };
    let expected = str::from_utf8(data).ok().and_then(naive_extensions);
    assert_eq!(printed, expected, "{:?}", String::from_utf8_lossy(data));
}

/// What is agreed to was offered, builds a codec, is understood by the client that offered it, and
/// is written without a way out of the head.
fn check_agreement(upgrade: &Upgrade<'_>) {
    let policy = Policy {
        protocols: vec!["a".to_owned(), "b".to_owned()],
        deflate: Some(DeflatePolicy {
            server_max_window_bits: 12,
            ..DeflatePolicy::default()
        }),
    };
    let agreed = upgrade.agree(&policy);
    assert!(
        agreed
            .protocol()
            .is_none_or(|p| upgrade.protocols().any(|offered| offered == p))
    );
    let response = agreed.response();
    if let Some(params) = agreed.deflate() {
        assert!((9..=12).contains(&params.server_max_window_bits));
        assert!((9..=15).contains(&params.client_max_window_bits));
        let answer = response.headers()["sec-websocket-extensions"]
            .to_str()
            .unwrap();
        assert!(
            upgrade
                .offers()
                .filter_map(|offer| DeflateOffer::read(&offer))
                .any(|offer| {
                    let head = [("sec-websocket-extensions", answer)];
                    let fields: Vec<_> = head.into_iter().chain(FOR_AN_ANSWER).collect();
                    let mut request = Request::new("a", "/", *b"the sample nonce");
                    request.deflate = Some(offer);
                    request
                        .check(101, &fields)
                        .is_ok_and(|answer| answer.deflate == Some(params))
                })
        );
    }
    let mut out = Vec::new();
    agreed.write_response(&mut out, []);
    let text = str::from_utf8(&out)
        .unwrap()
        .strip_suffix("\r\n\r\n")
        .unwrap();
    assert!(text.split("\r\n").skip(1).all(|line| line.contains(": ")));
}

const FOR_AN_ANSWER: [(&str, &str); 3] = [
    ("upgrade", "websocket"),
    ("connection", "upgrade"),
    ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
];

fn naive_check(
    method: &str,
    version: Version,
    fields: &[(String, Vec<u8>)],
) -> Result<(), HandshakeError> {
    let all = |name: &str| -> Vec<&[u8]> {
        let named = fields
            .iter()
            .filter(|(n, _)| n.to_ascii_lowercase() == name);
        named.map(|(_, value)| value.as_slice()).collect()
    };
    let list = |name: &str| -> Option<Vec<String>> {
        let mut elements = Vec::new();
        for line in all(name) {
            let line = str::from_utf8(line).ok()?;
            elements.extend(
                line.split(',')
                    .map(|e| e.trim_matches([' ', '\t']).to_owned()),
            );
        }
        elements.retain(|element| !element.is_empty());
        Some(elements)
    };
    // A line that is no text may hide nothing, but does not spoil the others either.
    let has = |name: &str, token: &str| {
        all(name)
            .iter()
            .filter_map(|line| str::from_utf8(line).ok())
            .any(|line| {
                line.split(',')
                    .any(|e| e.trim_matches([' ', '\t']).to_ascii_lowercase() == token)
            })
    };
    let rule = |kept: bool, error: HandshakeError| if kept { Ok(()) } else { Err(error) };

    rule(version == Version::HTTP_11, HandshakeError::VersionOfHttp)?;
    rule(method == "GET", HandshakeError::Method)?;
    rule(all("host").len() == 1, HandshakeError::Host)?;
    rule(has("upgrade", "websocket"), HandshakeError::Upgrade)?;
    rule(has("connection", "upgrade"), HandshakeError::Connection)?;
    rule(
        all("sec-websocket-version").len() == 1,
        HandshakeError::Version,
    )?;
    rule(
        all("sec-websocket-version") == [b"13"],
        HandshakeError::VersionUnknown,
    )?;
    let keys = all("sec-websocket-key");
    rule(keys.len() == 1, HandshakeError::Key)?;
    let no_body = all("transfer-encoding").is_empty()
        && all("content-length").iter().all(|length| *length == b"0");
    rule(no_body, HandshakeError::Body)?;
    let mut protocols = list("sec-websocket-protocol").ok_or(HandshakeError::Protocols)?;
    let absent = all("sec-websocket-protocol").is_empty();
    rule(absent || !protocols.is_empty(), HandshakeError::Protocols)?;
    rule(
        protocols.iter().all(|p| is_token(p)),
        HandshakeError::Protocols,
    )?;
    let count = protocols.len();
    protocols.sort();
    protocols.dedup();
    rule(count == protocols.len(), HandshakeError::Protocols)?;
    let mut extensions = 0;
    for line in all("sec-websocket-extensions") {
        let line = str::from_utf8(line).map_err(|_| HandshakeError::Extensions)?;
        // One field may be empty if another is not.
        let found = if line.trim_matches([' ', '\t', ',']).is_empty() {
            Some(Vec::new())
        } else {
            naive_extensions(line)
        };
        extensions += found.ok_or(HandshakeError::Extensions)?.len();
    }
    let absent = all("sec-websocket-extensions").is_empty();
    rule(absent || extensions > 0, HandshakeError::Extensions)?;
    let (digits, padding) = keys[0].split_at(keys[0].len().min(22));
    let base64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let key = digits.len() == 22 && digits.iter().all(|b| base64.contains(b)) && padding == b"==";
    rule(key, HandshakeError::Key)
}

/// Cuts at the commas outside quotes, then at the semicolons outside quotes, then looks at pieces.
fn naive_extensions(line: &str) -> Option<Vec<String>> {
    let mut extensions = Vec::new();
    for extension in cut(line, ',') {
        if extension.is_empty() {
            continue;
        }
        let mut pieces = cut(extension, ';').into_iter();
        let mut printed = pieces.next().filter(|name| is_token(name))?.to_owned();
        for param in pieces {
            let (name, value) = match param.split_once('=') {
                None => (param, None),
                Some((name, value)) => (name, Some(value.trim_matches([' ', '\t']))),
            };
            let name = name.trim_matches([' ', '\t']);
            let value = match value {
                Some(value) if value.starts_with('"') => Some(unquoted(value)?),
                Some(value) => Some(value.to_owned()),
                None => None,
            };
            if !is_token(name) || value.as_ref().is_some_and(|value| !is_token(value)) {
                return None;
            }
            printed += &format!("; {name}");
            if let Some(value) = value {
                printed += &format!("={value}");
            }
        }
        extensions.push(printed);
    }
    (!extensions.is_empty()).then_some(extensions)
}

fn cut(text: &str, separator: char) -> Vec<&str> {
    let (mut quoted, mut escaped, mut start) = (false, false, 0);
    let mut pieces = Vec::new();
    for (at, c) in text.char_indices() {
        if c == separator && !quoted {
            pieces.push(&text[start..at]);
            start = at + 1;
        }
        if c == '"' && !escaped {
            quoted = !quoted;
        }
        escaped = quoted && c == '\\' && !escaped;
    }
    pieces.push(&text[start..]);
    pieces
        .into_iter()
        .map(|piece| piece.trim_matches([' ', '\t']))
        .collect()
}

fn unquoted(text: &str) -> Option<String> {
    let mut inside = String::new();
    let mut rest = text.strip_prefix('"')?.chars();
    loop {
        match rest.next()? {
            '"' => break,
            '\\' => inside.push(rest.next()?),
            c => inside.push(c),
        }
    }
    rest.as_str().is_empty().then_some(inside)
}

fn is_token(text: &str) -> bool {
    let separators = "()<>@,;:\\\"/[]?={}";
    !text.is_empty()
        && text
            .chars()
            .all(|c| c.is_ascii_graphic() && !separators.contains(c))
}
