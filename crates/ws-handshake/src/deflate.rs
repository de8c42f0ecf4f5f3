//! The negotiation of permessage-deflate, RFC 7692 §5 and §7.1.
//!
//! A client sends one or more *offers*, in the order of its preference; a server takes the first it
//! can live with and answers with the parameters that hold from then on. Four parameters exist:
//!
//! | parameter | in an offer | in an answer |
//! |---|---|---|
//! | `server_no_context_takeover` | server, forget after each message | the server forgets |
//! | `client_no_context_takeover` | a hint: the client will forget | the client must forget |
//! | `server_max_window_bits=8..15` | server, use no larger window | the server's window |
//! | `client_max_window_bits[=8..15]` | "you may limit my window" | the client must limit it |
//!
//! An offer that breaks these rules is *declined*, not an error (§7.1): the next one may do.

use std::fmt;

use crate::extension::{Extension, Param};

/// What a client offers, or what a server reads of it.
///
/// The default is what a browser sends: everything as the RFC has it, and leave to limit the
/// client's window.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct DeflateOffer {
    /// The server is asked to start each message with an empty window (§7.1.1.1).
    pub server_no_context_takeover: bool,
    /// The client says that it will start each message with an empty window (§7.1.1.2).
    pub client_no_context_takeover: bool,
    /// The largest window the server may use, as a power of two, 8 to 15 (§7.1.2.1).
    pub server_max_window_bits: Option<u8>,
    /// Whether and how the client lets its own window be limited (§7.1.2.2).
    pub client_max_window_bits: WindowLimit,
}

/// The three forms of `client_max_window_bits` in an offer, RFC 7692 §7.1.2.2.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum WindowLimit {
    /// Absent: the client cannot limit its window, and the answer must not ask for it.
    Unsupported,
    /// Without a value: the server may ask for any limit.
    Any,
    /// With a value, 8 to 15: the client will use no larger window in any case.
    AtMost(u8),
}

/// What a server is ready to agree to.
///
/// The default forgets both windows after each message: an idle connection then holds no
/// compression state, and one compressed message serves every receiver.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct DeflatePolicy {
    /// Our window does not outlive a message, whether or not the client asked for that.
    pub server_no_context_takeover: bool,
    /// The client's window must not outlive a message.
    pub client_no_context_takeover: bool,
    /// The largest window we compress with, as a power of two, 9 to 15; other values are taken as the
    /// nearest of these.
    pub server_max_window_bits: u8,
    /// The largest window we ask the client to use, likewise. Clients that do not offer to limit
    /// theirs get 15 all the same.
    pub client_max_window_bits: u8,
}

/// What both sides agreed to: the parameters a codec is built from.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct DeflateParams {
    /// The server starts each message with an empty window.
    pub server_no_context_takeover: bool,
    /// The client starts each message with an empty window.
    pub client_no_context_takeover: bool,
    /// The server's window as a power of two, 9 to 15.
    pub server_max_window_bits: u8,
    /// The client's window as a power of two, 9 to 15.
    pub client_max_window_bits: u8,
}

/// A server's answer to an offer: the parameters, and which of them must be said.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct DeflateAnswer {
    params: DeflateParams,
    names_server_window: bool,
    names_client_window: bool,
}

impl DeflateOffer {
    /// Reads an extension as an offer of permessage-deflate.
    ///
    /// `None` if it is another extension, or has an unknown, repeated or ill-valued parameter: such
    /// an offer must be declined (§7.1).
    pub fn read(extension: &Extension<'_>) -> Option<Self> {
        let seen = Seen::read(extension)?;
        let client_max_window_bits = match seen.client_max_window_bits {
            None => WindowLimit::Unsupported,
            Some(None) => WindowLimit::Any,
            Some(Some(bits)) => WindowLimit::AtMost(bits),
        };
        Some(Self {
            server_no_context_takeover: seen.server_no_context_takeover,
            client_no_context_takeover: seen.client_no_context_takeover,
            server_max_window_bits: seen.server_max_window_bits,
            client_max_window_bits,
        })
    }

    /// What a server with this policy answers, or `None` if it declines.
    pub fn answer(&self, policy: &DeflatePolicy) -> Option<DeflateAnswer> {
        let server_max_window_bits = match self.server_max_window_bits {
            // zlib cannot promise a window of 256 bytes; §7.1 lets us decline what we do not
            // support, and the client falls back to its next offer or to plain messages.
            Some(bits) if bits < MIN_BITS => return None,
            offered => offered
                .unwrap_or(MAX_BITS)
                .min(clamp(policy.server_max_window_bits)),
        };
        let client_max_window_bits = match self.client_max_window_bits {
            WindowLimit::Unsupported => MAX_BITS,
            WindowLimit::Any => clamp(policy.client_max_window_bits),
            // Whoever promises 8 is given 9: a larger window reads what a smaller one wrote.
            WindowLimit::AtMost(bits) => clamp(policy.client_max_window_bits.min(bits)),
        };
        Some(DeflateAnswer {
            params: DeflateParams {
                server_no_context_takeover: self.server_no_context_takeover
                    || policy.server_no_context_takeover,
                client_no_context_takeover: self.client_no_context_takeover
                    || policy.client_no_context_takeover,
                server_max_window_bits,
                client_max_window_bits,
            },
            // §7.1.2.1: an offered limit is accepted by repeating it, even one of 15.
            names_server_window: self.server_max_window_bits.is_some()
                || server_max_window_bits < MAX_BITS,
            // §7.1.2.2: not without an offer, not above its value, and not for the sake of saying
            // what holds anyway.
            names_client_window: client_max_window_bits < MAX_BITS
                && match self.client_max_window_bits {
                    WindowLimit::Unsupported => false,
                    WindowLimit::Any => true,
                    WindowLimit::AtMost(bits) => client_max_window_bits <= bits,
                },
        })
    }

    /// Reads the server's answer to this offer, as the client that made it.
    ///
    /// `None` if it is not an answer to this offer: another extension, an unknown, repeated or
    /// ill-valued parameter, or less than what was asked for. The client must then fail the
    /// connection (§7.1).
    pub fn read_answer(&self, extension: &Extension<'_>) -> Option<DeflateParams> {
        let seen = Seen::read(extension)?;
        let limit = self.server_max_window_bits.unwrap_or(MAX_BITS);
        let server_max_window_bits = match seen.server_max_window_bits {
            // §7.1.2.1: an accepted limit is repeated, at the same or a smaller value.
            None if self.server_max_window_bits.is_some() => return None,
            None => MAX_BITS,
            Some(bits) if bits > limit => return None,
            Some(bits) => clamp(bits),
        };
        let client_max_window_bits =
            match (seen.client_max_window_bits, self.client_max_window_bits) {
                // §7.1.2.2: in an answer the parameter has a value, and stands only if it was offered.
                (Some(None), _) | (Some(Some(_)), WindowLimit::Unsupported) => return None,
                // We cannot compress with a window of 256 bytes.
                (Some(Some(bits)), _) if bits < MIN_BITS => return None,
                (Some(Some(bits)), WindowLimit::AtMost(most)) if bits > most => return None,
                (Some(Some(bits)), _) => bits,
                (None, WindowLimit::AtMost(most)) => clamp(most),
                (None, WindowLimit::Any | WindowLimit::Unsupported) => MAX_BITS,
            };
        if self.server_no_context_takeover && !seen.server_no_context_takeover {
            return None;
        }
        Some(DeflateParams {
            server_no_context_takeover: seen.server_no_context_takeover,
            client_no_context_takeover: self.client_no_context_takeover
                || seen.client_no_context_takeover,
            server_max_window_bits,
            client_max_window_bits,
        })
    }
}

impl Default for DeflateOffer {
    fn default() -> Self {
        Self {
            server_no_context_takeover: false,
            client_no_context_takeover: false,
            server_max_window_bits: None,
            client_max_window_bits: WindowLimit::Any,
        }
    }
}

/// The offer as it stands in `Sec-WebSocket-Extensions`.
impl fmt::Display for DeflateOffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NAME)?;
        if self.server_no_context_takeover {
            f.write_str("; ")?;
            f.write_str(SERVER_NO_CONTEXT)?;
        }
        if self.client_no_context_takeover {
            f.write_str("; ")?;
            f.write_str(CLIENT_NO_CONTEXT)?;
        }
        if let Some(bits) = self.server_max_window_bits {
            write!(f, "; {SERVER_BITS}={bits}")?;
        }
        match self.client_max_window_bits {
            WindowLimit::Unsupported => Ok(()),
            WindowLimit::Any => write!(f, "; {CLIENT_BITS}"),
            WindowLimit::AtMost(bits) => write!(f, "; {CLIENT_BITS}={bits}"),
        }
    }
}

impl Default for DeflatePolicy {
    fn default() -> Self {
        Self {
            server_no_context_takeover: true,
            client_no_context_takeover: true,
            server_max_window_bits: MAX_BITS,
            client_max_window_bits: MAX_BITS,
        }
    }
}

impl DeflateAnswer {
    /// What holds from now on.
    #[inline]
    pub fn params(&self) -> DeflateParams {
        self.params
    }
}

/// The answer as it stands in `Sec-WebSocket-Extensions`.
impl fmt::Display for DeflateAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NAME)?;
        if self.params.server_no_context_takeover {
            f.write_str("; ")?;
            f.write_str(SERVER_NO_CONTEXT)?;
        }
        if self.params.client_no_context_takeover {
            f.write_str("; ")?;
            f.write_str(CLIENT_NO_CONTEXT)?;
        }
        if self.names_server_window {
            write!(f, "; {SERVER_BITS}={}", self.params.server_max_window_bits)?;
        }
        if self.names_client_window {
            write!(f, "; {CLIENT_BITS}={}", self.params.client_max_window_bits)?;
        }
        Ok(())
    }
}

/// The parameters that stand in an extension, each at most once and with a legal value.
#[derive(Default)]
struct Seen {
    server_no_context_takeover: bool,
    client_no_context_takeover: bool,
    server_max_window_bits: Option<u8>,
    client_max_window_bits: Option<Option<u8>>,
}

impl Seen {
    fn read(extension: &Extension<'_>) -> Option<Self> {
        if !extension.name().eq_ignore_ascii_case(NAME) {
            return None;
        }
        let mut seen = Self::default();
        for param in extension.params() {
            seen.add(&param)?;
        }
        Some(seen)
    }

    fn add(&mut self, param: &Param<'_>) -> Option<()> {
        let value = param.value.as_deref();
        let repeated = match param.name {
            SERVER_NO_CONTEXT if value.is_none() => {
                std::mem::replace(&mut self.server_no_context_takeover, true)
            }
            CLIENT_NO_CONTEXT if value.is_none() => {
                std::mem::replace(&mut self.client_no_context_takeover, true)
            }
            SERVER_BITS => self.server_max_window_bits.replace(bits(value?)?).is_some(),
            CLIENT_BITS => {
                let value = value.map(|value| bits(value).ok_or(())).transpose().ok()?;
                self.client_max_window_bits.replace(value).is_some()
            }
            _ => return None,
        };
        (!repeated).then_some(())
    }
}

/// §7.1.2.1: an integer from 8 to 15, without leading zeros.
fn bits(value: &str) -> Option<u8> {
    match value.as_bytes() {
        [digit @ b'8'..=b'9'] => Some(digit - b'0'),
        [b'1', digit @ b'0'..=b'5'] => Some(10 + digit - b'0'),
        _ => None,
    }
}

fn clamp(bits: u8) -> u8 {
    bits.clamp(MIN_BITS, MAX_BITS)
}

const NAME: &str = "permessage-deflate";
const SERVER_NO_CONTEXT: &str = "server_no_context_takeover";
const CLIENT_NO_CONTEXT: &str = "client_no_context_takeover";
const SERVER_BITS: &str = "server_max_window_bits";
const CLIENT_BITS: &str = "client_max_window_bits";

/// The smallest window that zlib compresses with.
const MIN_BITS: u8 = 9;

/// What holds where nothing is said.
const MAX_BITS: u8 = 15;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::extension::extensions;

    fn offer(params: &str) -> Option<DeflateOffer> {
        let line = format!("permessage-deflate{params}");
        let extension = extensions(&line).next().unwrap().unwrap();
        DeflateOffer::read(&extension)
    }

    const ANYTHING: DeflatePolicy = DeflatePolicy {
        server_no_context_takeover: false,
        client_no_context_takeover: false,
        server_max_window_bits: 15,
        client_max_window_bits: 15,
    };

    fn answer(params: &str, policy: &DeflatePolicy) -> Option<String> {
        Some(offer(params)?.answer(policy)?.to_string())
    }

    #[test]
    fn an_accepted_offer_is_answered_as_the_rfc_has_it() {
        let table = [
            ("", ""),
            // §7.1.1: asked for, so granted; the client's word about itself is held on to.
            (
                "; server_no_context_takeover",
                "; server_no_context_takeover",
            ),
            (
                "; client_no_context_takeover",
                "; client_no_context_takeover",
            ),
            // §7.1.2.1: repeated, also at 15.
            ("; server_max_window_bits=9", "; server_max_window_bits=9"),
            (
                "; server_max_window_bits=\"15\"",
                "; server_max_window_bits=15",
            ),
            // §7.1.2.2: leave to limit is not an order to.
            ("; client_max_window_bits", ""),
            ("; client_max_window_bits=15", ""),
            ("; client_max_window_bits=10", "; client_max_window_bits=10"),
            // Nothing that we may say is true of us; what the client says of itself holds.
            ("; client_max_window_bits=8", ""),
        ];
        for (offered, expected) in table {
            let expected = format!("permessage-deflate{expected}");
            assert_eq!(answer(offered, &ANYTHING), Some(expected), "{offered}");
        }
        assert_eq!(
            offer("; client_max_window_bits=8")
                .unwrap()
                .answer(&ANYTHING)
                .unwrap()
                .params()
                .client_max_window_bits,
            9
        );
    }

    #[test]
    fn a_policy_limits_both_windows_where_the_client_lets_it() {
        let small = DeflatePolicy {
            server_max_window_bits: 10,
            client_max_window_bits: 11,
            ..ANYTHING
        };
        let table = [
            ("", "; server_max_window_bits=10"),
            ("; server_max_window_bits=9", "; server_max_window_bits=9"),
            ("; server_max_window_bits=12", "; server_max_window_bits=10"),
            (
                "; client_max_window_bits",
                "; server_max_window_bits=10; client_max_window_bits=11",
            ),
            (
                "; client_max_window_bits=9",
                "; server_max_window_bits=10; client_max_window_bits=9",
            ),
        ];
        for (offered, expected) in table {
            let expected = format!("permessage-deflate{expected}");
            assert_eq!(answer(offered, &small), Some(expected), "{offered}");
        }
        // No leave, no limit: the codec must be ready for 15.
        let params = offer("").unwrap().answer(&small).unwrap().params();
        assert_eq!(params.client_max_window_bits, 15);
    }

    #[test]
    fn sec_f7_an_offer_that_breaks_the_rules_is_declined() {
        let table = [
            "; unknown",
            "; unknown=1",
            "; server_no_context_takeover; server_no_context_takeover",
            "; server_no_context_takeover=1",
            "; client_no_context_takeover=true",
            "; server_max_window_bits",
            // F7: the range is 8 to 15, and a number is written in one way.
            "; server_max_window_bits=7",
            "; server_max_window_bits=16",
            "; server_max_window_bits=09",
            "; server_max_window_bits=+9",
            "; server_max_window_bits=1000000000000000000000",
            "; server_max_window_bits=9; server_max_window_bits=9",
            "; client_max_window_bits=0",
            "; client_max_window_bits=16",
            "; client_max_window_bits=1.5",
            "; client_max_window_bits; client_max_window_bits=9",
            "; Server_No_Context_Takeover",
        ];
        for offered in table {
            assert_eq!(offer(offered), None, "{offered}");
        }
        // Legal, but beyond what zlib can promise.
        assert_eq!(answer("; server_max_window_bits=8", &ANYTHING), None);
    }

    #[test]
    fn an_answer_gives_what_was_asked_for_or_is_refused() {
        let asked = DeflateOffer {
            server_no_context_takeover: true,
            server_max_window_bits: Some(12),
            ..DeflateOffer::default()
        };
        let read = |offer: &DeflateOffer, params: &str| {
            let line = format!("permessage-deflate{params}");
            offer.read_answer(&extensions(&line).next().unwrap().unwrap())
        };
        let table = [
            "",
            "; server_no_context_takeover",
            "; server_max_window_bits=12",
            "; server_no_context_takeover; server_max_window_bits=13",
            "; server_no_context_takeover; server_max_window_bits=12; client_max_window_bits",
            "; server_no_context_takeover; server_max_window_bits=12; client_max_window_bits=8",
            "; server_no_context_takeover; server_max_window_bits=12; x",
        ];
        for answer in table {
            assert_eq!(read(&asked, answer), None, "{answer}");
        }
        let full =
            "; server_no_context_takeover; server_max_window_bits=8; client_max_window_bits=9";
        let expected = DeflateParams {
            server_no_context_takeover: true,
            client_no_context_takeover: false,
            server_max_window_bits: 9,
            client_max_window_bits: 9,
        };
        assert_eq!(read(&asked, full), Some(expected));

        let rigid = DeflateOffer {
            client_max_window_bits: WindowLimit::Unsupported,
            ..<_>::default()
        };
        assert_eq!(read(&rigid, "; client_max_window_bits=15"), None);
        let limited = DeflateOffer {
            client_max_window_bits: WindowLimit::AtMost(10),
            ..<_>::default()
        };
        assert_eq!(read(&limited, "; client_max_window_bits=11"), None);
        assert_eq!(read(&limited, "").unwrap().client_max_window_bits, 10);
    }

    fn any_offer() -> impl Strategy<Value = DeflateOffer> {
        let limit = prop_oneof![
            Just(WindowLimit::Unsupported),
            Just(WindowLimit::Any),
            (8..=15u8).prop_map(WindowLimit::AtMost),
        ];
        let server = prop::option::of(8..=15u8);
        (any::<bool>(), any::<bool>(), server, limit).prop_map(|(s, c, bits, limit)| DeflateOffer {
            server_no_context_takeover: s,
            client_no_context_takeover: c,
            server_max_window_bits: bits,
            client_max_window_bits: limit,
        })
    }

    fn any_policy() -> impl Strategy<Value = DeflatePolicy> {
        (any::<bool>(), any::<bool>(), any::<u8>(), any::<u8>()).prop_map(
            |(s, c, server, client)| DeflatePolicy {
                server_no_context_takeover: s,
                client_no_context_takeover: c,
                server_max_window_bits: server,
                client_max_window_bits: client,
            },
        )
    }

    proptest! {
        #[test]
        fn an_offer_is_read_as_it_was_written(offer in any_offer()) {
            let line = offer.to_string();
            let extension = extensions(&line).next().unwrap().unwrap();
            prop_assert_eq!(DeflateOffer::read(&extension), Some(offer));
        }

        #[test]
        fn both_sides_come_to_the_same_terms(offer in any_offer(), policy in any_policy()) {
            let Some(answer) = offer.answer(&policy) else {
                prop_assert_eq!(offer.server_max_window_bits, Some(8));
                return Ok(());
            };
            let params = answer.params();
            // F7: whatever is agreed to, a codec can be built from it.
            prop_assert!((9..=15).contains(&params.server_max_window_bits));
            prop_assert!((9..=15).contains(&params.client_max_window_bits));
            let line = answer.to_string();
            let extension = extensions(&line).next().unwrap().unwrap();
            prop_assert_eq!(offer.read_answer(&extension), Some(params));
        }
    }
}
