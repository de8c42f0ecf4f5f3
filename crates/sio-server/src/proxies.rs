//! Proxies in front of the server, and what they say of the client in `X-Forwarded-*` headers.
//!
//! Anybody can write such a header, so none is believed unless it comes from a proxy that is known.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

/// The proxies whose `X-Forwarded-For`, `X-Forwarded-Host` and `X-Forwarded-Proto` are believed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Proxies {
    /// Each request has come through that many, whatever their addresses. Only where no request can
    /// come around them: who can, can say what they like.
    Hops(u8),
    /// Those with an address of these networks.
    Networks(Vec<Network>),
    /// None; the default, because a header that anybody can write proves nothing.
    #[default]
    Nobody,
}

impl Proxies {
    /// Whether what came from `peer` came from a proxy.
    pub(crate) fn trusts(&self, peer: Option<IpAddr>) -> bool {
        match self {
            Self::Hops(hops) => *hops > 0,
            Self::Networks(networks) => {
                peer.is_some_and(|peer| networks.iter().any(|network| network.contains(peer)))
            }
            Self::Nobody => false,
        }
    }

    /// The address of the client itself. `forwarded` are the values of `X-Forwarded-For`, in their
    /// order: each proxy has put the address it was called from behind those that were there.
    pub(crate) fn client<'a>(
        &self,
        peer: Option<SocketAddr>,
        forwarded: impl DoubleEndedIterator<Item = &'a [u8]>,
    ) -> Option<IpAddr> {
        let peer = peer.map(|peer| peer.ip().to_canonical());
        let mut nearest_first = forwarded
            .rev()
            .flat_map(|value| value.rsplit(|b| *b == b','));
        match self {
            Self::Hops(0) | Self::Nobody => peer,
            Self::Hops(hops) => {
                let named = nearest_first.map_while(address);
                named.take(usize::from(*hops)).last().or(peer)
            }
            Self::Networks(_) => {
                let mut client = peer;
                while self.trusts(client)
                    && let Some(before) = nearest_first.next().and_then(address)
                {
                    client = Some(before);
                }
                client
            }
        }
    }
}

/// An address, or a network of them, as in `10.0.0.0/8`.
///
/// ```
/// use sio_server::{Config, Network, Proxies};
///
/// let network: Network = "10.0.0.0/8".parse()?;
/// assert!(network.contains("10.1.2.3".parse()?) && !network.contains("11.0.0.1".parse()?));
/// let mut config = Config::default();
/// config.proxies = Proxies::Networks(vec![network, "::1".parse()?]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

/// what is given is neither an IP address nor one with the length of a prefix
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("what is given is neither an IP address nor one with the length of a prefix")]
pub struct NetworkError;

impl Network {
    /// Whether an address is of this network; one of IPv4 may come in the clothes of IPv6.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let differs = u32::from(network) ^ u32::from(address);
                differs.leading_zeros() >= u32::from(self.bits)
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let differs = u128::from(network) ^ u128::from(address);
                differs.leading_zeros() >= u32::from(self.bits)
            }
            _ => false,
        }
    }
}

impl From<IpAddr> for Network {
    fn from(address: IpAddr) -> Self {
        let address = address.to_canonical();
        let bits = if address.is_ipv4() { 32 } else { 128 };
        Self { address, bits }
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let Some((address, bits)) = text.split_once('/') else {
            let address: IpAddr = text.parse().map_err(|_| NetworkError)?;
            return Ok(address.into());
        };
        let whole: IpAddr = address.parse().map_err(|_| NetworkError)?;
        // `parse` would also take a sign.
        let bits = (!bits.starts_with('+'))
            .then(|| bits.parse().ok())
            .flatten();
        let bits = bits.filter(|bits| *bits <= if whole.is_ipv4() { 32 } else { 128 });
        Ok(Self {
            address: whole,
            bits: bits.ok_or(NetworkError)?,
        })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

/// An entry of `X-Forwarded-For`: an address, with or without a port.
/// Anything else, be it no text, ends what is believed, and hides nothing of what stands behind it.
fn address(entry: &[u8]) -> Option<IpAddr> {
    let entry = str::from_utf8(entry).ok()?.trim();
    let address = entry.parse::<IpAddr>().ok();
    let address = address.or_else(|| entry.parse::<SocketAddr>().ok().map(|addr| addr.ip()));
    let bare = || entry.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    address.or_else(bare).map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(texts: &[&str]) -> Proxies {
        Proxies::Networks(texts.iter().map(|text| text.parse().unwrap()).collect())
    }

    fn client(proxies: &Proxies, peer: &str, forwarded: &[&str]) -> String {
        let peer = SocketAddr::new(peer.parse().unwrap(), 1);
        let values = forwarded.iter().map(|value| value.as_bytes());
        let client = proxies.client(Some(peer), values);
        client.unwrap().to_string()
    }

    #[test]
    fn an_address_is_believed_as_far_as_those_who_name_it_are() {
        let known = networks(&["10.0.0.0/8", "::1"]);
        for (peer, forwarded, expected) in [
            ("9.9.9.9", &["1.2.3.4"][..], "9.9.9.9"),
            ("10.0.0.1", &["1.2.3.4"], "1.2.3.4"),
            ("::ffff:10.0.0.1", &["1.2.3.4"], "1.2.3.4"),
            ("10.0.0.1", &["6.6.6.6, 1.2.3.4"], "1.2.3.4"),
            ("10.0.0.1", &["6.6.6.6, 1.2.3.4,10.1.1.1"], "1.2.3.4"),
            ("10.0.0.1", &["6.6.6.6", "1.2.3.4", "10.1.1.1"], "1.2.3.4"),
            ("::1", &["[2001:db8::1]:4711"], "2001:db8::1"),
            ("::1", &["2001:db8::1"], "2001:db8::1"),
            ("10.0.0.1", &["1.2.3.4:80"], "1.2.3.4"),
            ("10.0.0.1", &["unknown"], "10.0.0.1"),
            ("10.0.0.1", &[""], "10.0.0.1"),
            ("10.0.0.1", &[], "10.0.0.1"),
        ] {
            assert_eq!(
                client(&known, peer, forwarded),
                expected,
                "{peer} {forwarded:?}"
            );
        }
        // What a client puts in front of its address, be it no text, does not hide it.
        let peer = Some("10.0.0.1:1".parse().unwrap());
        let odd = known.client(peer, [b"\xff\xfe, 1.2.3.4".as_slice()].into_iter());
        assert_eq!(odd, Some("1.2.3.4".parse().unwrap()));
        let two = Proxies::Hops(2);
        assert_eq!(
            client(&two, "7.7.7.7", &["6.6.6.6, 1.2.3.4, 5.5.5.5"]),
            "1.2.3.4"
        );
        assert_eq!(client(&two, "7.7.7.7", &["1.2.3.4"]), "1.2.3.4");
        assert_eq!(client(&two, "7.7.7.7", &[]), "7.7.7.7");
        assert_eq!(
            client(&Proxies::Hops(0), "7.7.7.7", &["1.2.3.4"]),
            "7.7.7.7"
        );
        assert_eq!(client(&Proxies::Nobody, "7.7.7.7", &["1.2.3.4"]), "7.7.7.7");
    }

    #[test]
    fn a_network_is_an_address_and_the_bits_that_count() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.0"),
            ("192.168.1.17", "192.168.1.17", "192.168.1.16"),
            ("192.168.1.128/25", "192.168.1.200", "192.168.1.127"),
            ("2001:db8::/32", "2001:db8:1::", "2001:db9::"),
            ("::1", "::1", "::2"),
        ] {
            let network: Network = network.parse().unwrap();
            assert!(network.contains(inside.parse().unwrap()), "{network}");
            assert!(!network.contains(outside.parse().unwrap()), "{network}");
        }
        let everything: Network = "0.0.0.0/0".parse().unwrap();
        assert!(everything.contains("1.2.3.4".parse().unwrap()));
        assert!(!everything.contains("::1".parse().unwrap()));
        for wrong in [
            "",
            "10.0.0",
            "10.0.0.0/33",
            "::/129",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "a/8",
        ] {
            assert_eq!(wrong.parse::<Network>(), Err(NetworkError), "{wrong}");
        }
    }
}
