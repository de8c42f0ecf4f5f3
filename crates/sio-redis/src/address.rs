//! Where Redis is: one server, the master that sentinels name, or any node of a Redis Cluster.
//!
//! ```text
//! redis://[user:password@]host[:port][/db]              also rediss (TLS), unix, valkey, valkeys
//! redis+sentinel://[user:password@]host[:port],…/[db/]service
//! redis+cluster://[user:password@]host[:port],…         rediss+… for TLS
//! ```
//!
//! The form with sentinels is that of python-socketio. Publish and subscribe is for the whole of a
//! Redis Cluster, so one of its nodes is as good as another; only who subscribes has to be counted at all.
//! Keys and channels of shards are where their [slots](crate::slots) are.

use std::{
    collections::HashMap,
    error::Error,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use redis::{
    AsyncConnectionConfig, Client, ConnectionInfo, IntoConnectionInfo, RedisError,
    aio::MultiplexedConnection,
};
use tokio::{sync::Mutex, time::timeout};

/// A URL that has been read.
#[derive(Clone)]
pub(crate) struct Address {
    kind: Kind,
    tls: Tls,
    /// Which of several is tried first: never the same one twice in a row.
    turn: Arc<AtomicUsize>,
    /// Connections to the nodes of a Redis Cluster that are asked who subscribes.
    counted: Arc<Mutex<HashMap<String, MultiplexedConnection>>>,
}

#[derive(Clone)]
enum Kind {
    Cluster {
        seeds: Vec<Client>,
        access: Access,
    },
    One(Client),
    Sentinel {
        sentinels: Vec<Client>,
        service: String,
        access: Access,
        db: i64,
    },
}

/// How servers are reached of which only the host is known.
#[derive(Clone)]
struct Access {
    scheme: &'static str,
    /// `user:password@`, or nothing.
    credentials: String,
}

/// Whom to trust.
#[derive(Clone, Default)]
pub(crate) struct Tls {
    /// The certificate authority in PEM, if it is not one of the system's.
    #[cfg(feature = "tls")]
    pub(crate) ca: Option<Vec<u8>>,
}

/// Why a URL can never work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// a URL with sentinels names a database that is no number: {0}
    #[error("a URL with sentinels names a database that is no number: {0}")]
    Database(String),
    /// a Redis Cluster has no order of all that is published, which strict_order is about
    #[error("a Redis Cluster has no order of all that is published, which strict_order is about")]
    Order,
    /// a URL with sentinels ends with the name of the service: redis+sentinel://host/0/mymaster
    #[error(
        "a URL with sentinels ends with the name of the service: redis+sentinel://host/0/mymaster"
    )]
    NoService,
    /// the URL cannot be used: {0}
    #[error("the URL cannot be used: {0}")]
    Url(#[source] Box<dyn Error + Send + Sync>),
}

impl From<RedisError> for AddressError {
    fn from(error: RedisError) -> Self {
        Self::Url(Box::new(error))
    }
}

impl Address {
    pub(crate) fn parse(url: &str, tls: Tls) -> Result<Self, AddressError> {
        let kind = match url.split_once("://") {
            Some((scheme, rest)) if scheme.ends_with("+sentinel") => {
                let (access, hosts, path) = parts(scheme, rest);
                let mut path: Vec<_> = path.split('/').filter(|part| !part.is_empty()).collect();
                let service = path.pop().ok_or(AddressError::NoService)?.to_owned();
                let db = match path.pop() {
                    None if service.parse::<u64>().is_ok() => return Err(AddressError::NoService),
                    None => 0,
                    Some(db) => match db.parse() {
                        Ok(db) => db,
                        Err(_) => return Err(AddressError::Database(db.to_owned())),
                    },
                };
                // Sentinels have users of their own, and nearly always none.
                let open = Access {
                    scheme: access.scheme,
                    credentials: String::new(),
                };
                let sentinels = hosts.split(',').map(|host| {
                    let host = with_port(host, 26379);
                    open.client(&host, 0, &tls)
                });
                Kind::Sentinel {
                    sentinels: sentinels.collect::<Result<_, _>>()?,
                    service,
                    access,
                    db,
                }
            }
            Some((scheme, rest)) if scheme.ends_with("+cluster") => {
                let (access, hosts, _) = parts(scheme, rest);
                let seeds = hosts.split(',').map(|host| access.client(host, 0, &tls));
                Kind::Cluster {
                    seeds: seeds.collect::<Result<_, _>>()?,
                    access,
                }
            }
            _ => Kind::One(open(url, &tls)?),
        };
        Ok(Self {
            kind,
            tls,
            turn: Arc::default(),
            counted: Arc::default(),
        })
    }

    pub(crate) fn is_cluster(&self) -> bool {
        matches!(self.kind, Kind::Cluster { .. })
    }

    /// The server to connect to now. Sentinels are asked, one after the other, each for `patience` at
    /// most; of a cluster's nodes it is another one each time.
    pub(crate) async fn client(&self, patience: Duration) -> Result<Client, RedisError> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        match &self.kind {
            Kind::One(client) => Ok(client.clone()),
            Kind::Cluster { seeds, .. } => Ok(seeds[turn % seeds.len()].clone()),
            Kind::Sentinel {
                sentinels,
                service,
                access,
                db,
            } => {
                let mut failed = None;
                for number in 0..sentinels.len() {
                    let sentinel = &sentinels[(turn + number) % sentinels.len()];
                    match master(sentinel, service, patience).await {
                        Ok((host, port)) => {
                            return access.client(&host_port(&host, port), *db, &self.tls);
                        }
                        Err(error) => failed = Some(error),
                    }
                }
                Err(failed.unwrap_or_else(|| unreachable("there is no sentinel")))
            }
        }
    }

    /// Another server of a Redis Cluster.
    pub(crate) fn client_at(&self, host: &str) -> Result<Client, RedisError> {
        match &self.kind {
            Kind::Cluster { access, .. } => access.client(host, 0, &self.tls),
            _ => Err(unreachable("there is one server alone")),
        }
    }

    /// A client with other settings.
    pub(crate) fn like(&self, info: ConnectionInfo) -> Result<Client, RedisError> {
        open_with(info, &self.tls)
    }

    /// How many subscribe to a channel, by `NUMSUB` or what else is asked: `None` if not all nodes of a Redis Cluster could be asked.
    pub(crate) async fn subscribers(
        &self,
        connection: &mut MultiplexedConnection,
        what: &str,
        channel: &str,
        patience: Duration,
    ) -> Result<Option<u64>, RedisError> {
        let Kind::Cluster { access, .. } = &self.kind else {
            return Ok(Some(subscribers(connection, what, channel).await?));
        };
        let mut nodes = redis::cmd("CLUSTER");
        nodes.arg("NODES");
        let nodes: String = nodes.query_async(connection).await?;
        let here = subscribers(connection, what, channel).await?;
        // One that is down and not yet known to be is no reason to give this connection up.
        let elsewhere = self.subscribers_elsewhere(access, &nodes, what, channel, patience);
        let elsewhere = timeout(patience / 2, elsewhere).await;
        Ok(elsewhere.ok().flatten().map(|elsewhere| here + elsewhere))
    }

    async fn subscribers_elsewhere(
        &self,
        access: &Access,
        nodes: &str,
        what: &str,
        channel: &str,
        patience: Duration,
    ) -> Option<u64> {
        let mut all = 0;
        let mut counted = self.counted.lock().await;
        for host in others(nodes) {
            // Out of the table until it has answered.
            let mut other = match counted.remove(&host) {
                Some(other) => other,
                None => {
                    let client = access.client(&host, 0, &self.tls).ok()?;
                    connect(&client, patience, patience).await.ok()?
                }
            };
            all += subscribers(&mut other, what, channel).await.ok()?;
            counted.insert(host, other);
        }
        Some(all)
    }
}

impl Access {
    fn client(&self, host: &str, db: i64, tls: &Tls) -> Result<Client, RedisError> {
        let Self {
            scheme,
            credentials,
        } = self;
        open(&format!("{scheme}://{credentials}{host}/{db}"), tls)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // No word of passwords.
        f.write_str(match &self.kind {
            Kind::Cluster { .. } => "Address::Cluster",
            Kind::One(_) => "Address::One",
            Kind::Sentinel { .. } => "Address::Sentinel",
        })
    }
}

fn open(url: &str, tls: &Tls) -> Result<Client, RedisError> {
    let info = url.into_connection_info()?;
    let tcp = info.tcp_settings().clone();
    // What a connection that is given up has not sent yet dies with it, instead of arriving behind
    // what was said on the next one.
    let tcp = tcp.set_nodelay(true).set_linger_time(Duration::ZERO);
    open_with(info.set_tcp_settings(tcp), tls)
}

#[cfg(feature = "tls")]
fn open_with(info: ConnectionInfo, tls: &Tls) -> Result<Client, RedisError> {
    // The client would panic without one.
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
    match &tls.ca {
        Some(ca) => {
            let certificates = redis::TlsCertificates {
                client_tls: None,
                root_cert: Some(ca.clone()),
            };
            Client::build_with_tls(info, certificates)
        }
        None => Client::open(info),
    }
}

#[cfg(not(feature = "tls"))]
fn open_with(info: ConnectionInfo, _tls: &Tls) -> Result<Client, RedisError> {
    Client::open(info)
}

/// How servers are reached, their hosts, and what stands behind them.
fn parts<'a>(scheme: &str, rest: &'a str) -> (Access, &'a str, &'a str) {
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (credentials, hosts) = match authority.rsplit_once('@') {
        Some((credentials, hosts)) => (format!("{credentials}@"), hosts),
        None => (String::new(), authority),
    };
    let scheme = match scheme.starts_with("rediss") || scheme.starts_with("valkeys") {
        true => "rediss",
        false => "redis",
    };
    let access = Access {
        scheme,
        credentials,
    };
    (access, hosts, path)
}

fn with_port(host: &str, port: u16) -> String {
    // The colons of an IPv6 address stand in brackets.
    let named = host.rsplit_once(':');
    match named.is_some_and(|(_, port)| port.parse::<u16>().is_ok()) {
        true => host.to_owned(),
        false => format!("{host}:{port}"),
    }
}

pub(crate) fn host_port(host: &str, port: u16) -> String {
    match host.contains(':') {
        true => format!("[{host}]:{port}"),
        false => format!("{host}:{port}"),
    }
}

/// The other nodes in the answer of `CLUSTER NODES`, those that are down left out: nobody hears anything
/// through them.
fn others(nodes: &str) -> impl Iterator<Item = String> {
    nodes.lines().filter_map(|line| {
        let mut words = line.split(' ');
        let (_, address, flags) = (words.next()?, words.next()?, words.next()?);
        let out = |flag| matches!(flag, "fail" | "handshake" | "myself" | "noaddr");
        let (host, port) = address.split('@').next()?.rsplit_once(':')?;
        let there = !flags.split(',').any(out) && !host.is_empty();
        there.then_some(host_port(host, port.parse().ok()?))
    })
}

async fn subscribers(
    connection: &mut MultiplexedConnection,
    what: &str,
    channel: &str,
) -> Result<u64, RedisError> {
    let mut command = redis::cmd("PUBSUB");
    command.arg(what).arg(channel);
    let (_, count): (String, u64) = command.query_async(connection).await?;
    Ok(count)
}

/// What a sentinel takes for the master of a service.
async fn master(
    sentinel: &Client,
    service: &str,
    patience: Duration,
) -> Result<(String, u16), RedisError> {
    let ask = async {
        let mut connection = connect(sentinel, patience, patience).await?;
        let mut command = redis::cmd("SENTINEL");
        command.arg("GET-MASTER-ADDR-BY-NAME").arg(service);
        let master: Option<(String, u16)> = command.query_async(&mut connection).await?;
        master.ok_or_else(|| unreachable("the sentinel does not know the service"))
    };
    let asked = timeout(patience, ask).await;
    asked.unwrap_or_else(|_| Err(unreachable("a sentinel did not answer in time")))
}

/// A connection that waits for an answer as long as `patient`.
pub(crate) async fn connect(
    client: &Client,
    patience: Duration,
    patient: Duration,
) -> Result<MultiplexedConnection, RedisError> {
    let settings = settings(patience, patient);
    let connection = client.get_multiplexed_async_connection_with_config(&settings);
    let connected = timeout(patience, connection).await;
    connected.unwrap_or_else(|_| Err(unreachable("Redis did not answer in time")))
}

pub(crate) fn settings(patience: Duration, patient: Duration) -> AsyncConnectionConfig {
    AsyncConnectionConfig::new()
        .set_connection_timeout(Some(patience))
        .set_response_timeout(Some(patient))
}

fn unreachable(why: &'static str) -> RedisError {
    (redis::ErrorKind::Io, why).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<Kind, AddressError> {
        Address::parse(url, Tls::default()).map(|address| address.kind)
    }

    #[test]
    fn a_url_with_sentinels_is_read_as_python_does() {
        let url = "redis+sentinel://user:p%40ss@one:26380,two,[::1]:26381/2/mymaster";
        let Ok(Kind::Sentinel {
            sentinels,
            service,
            access,
            db,
        }) = parse(url)
        else {
            panic!("sentinels are read");
        };
        let hosts: Vec<_> = sentinels
            .iter()
            .map(|sentinel| sentinel.get_connection_info().addr().to_string())
            .collect();
        assert_eq!(hosts, ["one:26380", "two:26379", "::1:26381"]);
        assert_eq!((&*service, db), ("mymaster", 2));
        assert_eq!(access.credentials, "user:p%40ss@");
        assert!(matches!(
            parse("valkey+sentinel://one/mymaster"),
            Ok(Kind::Sentinel { db: 0, .. })
        ));
        for url in ["redis+sentinel://one", "redis+sentinel://one/0"] {
            assert!(matches!(parse(url), Err(AddressError::NoService)), "{url}");
        }
        let no_number = parse("redis+sentinel://one/first/mymaster");
        assert!(matches!(no_number, Err(AddressError::Database(_))));
    }

    #[test]
    fn a_url_of_a_cluster_names_several_hosts() {
        let Ok(Kind::Cluster { seeds, .. }) = parse("redis+cluster://:secret@one:7000,two:7001")
        else {
            panic!("a cluster is read");
        };
        assert_eq!(seeds.len(), 2);
        let info = seeds[1].get_connection_info();
        assert_eq!(info.addr().to_string(), "two:7001");
        assert_eq!(info.redis_settings().password(), Some("secret"));
    }

    #[test]
    fn other_urls_are_the_clients_own() {
        for url in ["redis://h", "valkey://h:1/2", "unix:///tmp/redis"] {
            assert!(matches!(parse(url), Ok(Kind::One(_))), "{url}");
        }
        assert!(matches!(parse("http://h"), Err(AddressError::Url(_))));
    }

    #[cfg(feature = "tls")]
    #[test]
    fn with_tls_there_are_more() {
        for url in [
            "rediss://h",
            "rediss+cluster://h",
            "valkeys+sentinel://h/0/m",
        ] {
            assert!(parse(url).is_ok(), "{url}");
        }
    }

    #[cfg(not(feature = "tls"))]
    #[test]
    fn tls_that_is_not_built_in_is_an_error_of_the_start() {
        assert!(matches!(parse("rediss://h"), Err(AddressError::Url(_))));
    }

    #[test]
    fn the_other_nodes_of_a_cluster_are_those_that_live() {
        let nodes = "\
            07c3 127.0.0.1:30004@31004,host slave e7d1 0 1426238317239 4 connected\n\
            67ed ::1:30002@31002 master - 0 1426238316232 2 connected 5461-10922\n\
            292f 127.0.0.1:30003@31003 master,fail - 0 1426238318243 3 connected\n\
            6ec2 :0@0 slave,noaddr - 0 0 5 disconnected\n\
            824f 127.0.0.1:30001@31001 myself,master - 0 0 1 connected 0-5460\n";
        let others: Vec<_> = others(nodes).collect();
        assert_eq!(others, ["127.0.0.1:30004", "[::1]:30002"]);
    }
}
