//! What a running server consists of: its shards, its sessions, its namespaces.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{
        Arc, Mutex, OnceLock, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use eio_transport::{Parcel, Revision, Sid};
use foldhash::fast::RandomState;
use http::Request;

use crate::{
    clock,
    cluster::{self, Cluster},
    config::Config,
    conn::{Command, Conn},
    counters::{Counters, Limit},
    crews::Crews,
    debug::{self, DebugMode},
    deflate::Compression,
    engine, entropy,
    error::Refuse,
    forward::Neighbours,
    gate::Gate,
    ledger::Ledger,
    memory::Memory,
    middleware::Stack,
    news::News,
    notice::Quoted,
    observe::Observer,
    openings::{NamespaceEvent, NamespaceHook},
    panic::contain,
    parsers::Parsers,
    place::{Place, Stay, Visit},
    realm::{Mounted, Realm},
    service::{Fallback, Service},
    session::OpenFrame,
    shard::Shard,
    table::OnErrorDefault,
};

/// Maps that the sessions are spread over, so that threads rarely meet.
const SPREAD: usize = 16;

/// A namespace by its name, of a server that may not have been started yet.
#[derive(Clone)]
pub(crate) struct Address {
    hub: Arc<OnceLock<Arc<Hub>>>,
    namespace: Arc<str>,
}

impl Address {
    pub(crate) fn new(hub: Arc<OnceLock<Arc<Hub>>>, namespace: Arc<str>) -> Self {
        Self { hub, namespace }
    }

    pub(crate) fn of(&self, namespace: &str) -> Self {
        Self::new(Arc::clone(&self.hub), namespace.into())
    }

    /// The server, once it has been started.
    pub(crate) fn hub(&self) -> Option<&Arc<Hub>> {
        self.hub.get()
    }

    pub(crate) fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The namespace, while it is open.
    pub(crate) fn place(&self) -> Option<Arc<Place>> {
        let realm = self.hub()?.existing(&self.namespace)?;
        Some(Arc::clone(realm.place()))
    }
}

/// What was put into the server before it was started.
pub(crate) struct Furniture {
    pub(crate) mounted: Vec<Box<dyn Mounted>>,
    pub(crate) parsers: Parsers,
    pub(crate) fallback: Option<Fallback>,
    pub(crate) on_error: Option<OnErrorDefault>,
    pub(crate) bare: Option<Arc<engine::Handlers>>,
    pub(crate) observer: Option<Observer>,
    pub(crate) beside: Option<Service>,
    pub(crate) cluster: Option<Arc<Cluster>>,
    pub(crate) debug: DebugMode,
    pub(crate) stack: Option<Stack>,
    pub(crate) initial: Option<Arc<Parcel>>,
    pub(crate) openings: Option<NamespaceHook>,
}

pub(crate) struct Hub {
    pub(crate) config: Config,
    /// The same as `config.engine`, shared by the sessions.
    pub(crate) engine: Arc<eio_transport::Config>,
    /// What every WebSocket is told first.
    pub(crate) open_frame: OpenFrame,
    /// What holds for the packets of old clients, where a query stands behind a namespace.
    old_limits: sio_packet::Limits,
    pub(crate) gate: Gate,
    pub(crate) shards: Box<[Shard]>,
    /// What is buffered for all connections together.
    pub(crate) ledger: Ledger,
    /// If messages on WebSockets may be compressed.
    pub(crate) compression: Option<Compression>,
    sessions: [Mutex<HashMap<Sid, Arc<Conn>, RandomState>>; SPREAD],
    mounted: Box<[Box<dyn Mounted>]>,
    /// Parsers besides the protocol's own.
    pub(crate) parsers: Parsers,
    /// Who hears the messages, if that is not Socket.IO.
    pub(crate) bare: Option<Arc<engine::Handlers>>,
    pub(crate) observer: Option<Observer>,
    /// Bare Engine.IO at a path of its own.
    pub(crate) beside: Option<Service>,
    /// Who answers requests that are not ours.
    pub(crate) fallback: Option<Fallback>,
    /// Who sees failures that no namespace sees itself.
    pub(crate) on_error: Option<OnErrorDefault>,
    /// The other nodes, if there are to be any.
    pub(crate) cluster: Option<Arc<Cluster>>,
    pub(crate) debug: DebugMode,
    /// The layers around all answers, if there are any.
    pub(crate) stack: Option<Stack>,
    /// What every client is told behind the open packet.
    pub(crate) initial: Option<Arc<Parcel>>,
    realms: RwLock<HashMap<Box<str>, Arc<dyn Realm>, RandomState>>,
    /// Namespaces that were opened on demand, and closed, if anybody is told.
    openings: Option<News<NamespaceEvent>>,
    /// Connections whose task has not ended, the last handlers included.
    pub(crate) drivers: AtomicUsize,
    /// How often all connections have been closed. Who was let in before and is no session yet looks here
    /// when it is one.
    pub(crate) closes: AtomicUsize,
    /// Nobody is let in any more.
    pub(crate) is_shut: AtomicBool,
    /// Set once the shards' tasks have been spawned.
    pub(crate) running: OnceLock<()>,
    /// Who polls the connections that hyper hands over.
    pub(crate) crews: Crews,
}

impl Hub {
    pub(crate) fn new(
        config: Config,
        gate: Gate,
        shards: usize,
        furniture: Furniture,
    ) -> Arc<Self> {
        let Furniture {
            mounted,
            parsers,
            fallback,
            on_error,
            bare,
            observer,
            beside,
            cluster,
            debug,
            stack,
            initial,
            openings,
        } = furniture;
        let now = clock::now();
        let pending = config.max_pending.div_ceil(shards.max(1));
        let patience = config.header_timeout;
        let shard = || Shard::new(now, pending, patience);
        let ledger = Ledger::new(config.memory_budget);
        let hub = Arc::new(Self {
            engine: Arc::new(config.engine.clone()),
            open_frame: OpenFrame::new(&config.engine),
            compression: config
                .per_message_deflate
                .as_ref()
                .map(|settings| Compression::new(settings, shards)),
            old_limits: sio_packet::v4::limits(&config.packet),
            config,
            gate,
            shards: (0..shards).map(|_| shard()).collect(),
            ledger,
            sessions: std::array::from_fn(|_| Mutex::default()),
            mounted: mounted.into(),
            parsers,
            fallback,
            on_error,
            bare,
            observer,
            beside,
            cluster,
            debug,
            stack,
            initial,
            realms: RwLock::default(),
            openings: openings.map(|hook| News::new(hook, "a look at a namespace")),
            drivers: AtomicUsize::new(0),
            closes: AtomicUsize::new(0),
            is_shut: AtomicBool::new(false),
            running: OnceLock::new(),
            crews: Crews::new(),
        });
        for mounted in &hub.mounted {
            if let Some(name) = mounted.fixed_name() {
                hub.open(name, Stay::Always, &**mounted);
            }
        }
        hub
    }

    /// What holds for the packets of a client.
    #[inline]
    pub(crate) fn limits(&self, revision: Revision) -> &sio_packet::Limits {
        match revision {
            Revision::V3 => &self.old_limits,
            Revision::V4 => &self.config.packet,
        }
    }

    // ---- sessions -----------------------------------------------------------------------------

    fn session_map(&self, sid: &Sid) -> &Mutex<HashMap<Sid, Arc<Conn>, RandomState>> {
        let first = sid.as_bytes()[0];
        &self.sessions[usize::from(first) % SPREAD]
    }

    pub(crate) fn session(&self, sid: &Sid) -> Option<Arc<Conn>> {
        let map = self
            .session_map(sid)
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        map.get(sid).cloned()
    }

    /// The other nodes, if requests are handed on to them.
    pub(crate) fn neighbours(&self) -> Option<&Neighbours> {
        self.cluster.as_ref()?.neighbours.as_ref()
    }

    /// An id for a new session; `None` if the application made one that is taken.
    pub(crate) fn new_sid(&self, request: Option<&Request<()>>) -> Option<Sid> {
        let (Some(generate), Some(request)) = (&self.gate.hooks.id, request) else {
            let sid = entropy::id();
            return Some(
                self.neighbours()
                    .map_or(sid, |neighbours| neighbours.mark(sid)),
            );
        };
        let sid = contain("the making of an id", || generate(request))?;
        self.session(&sid).is_none().then_some(sid)
    }

    pub(crate) fn add_session(&self, conn: &Arc<Conn>) {
        let mut map = self
            .session_map(&conn.sid)
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        map.entry(conn.sid).or_insert_with(|| Arc::clone(conn));
    }

    pub(crate) fn remove_session(&self, conn: &Arc<Conn>) {
        let mut map = self
            .session_map(&conn.sid)
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // Ids that the application makes may meet.
        if let Entry::Occupied(entry) = map.entry(conn.sid)
            && Arc::ptr_eq(entry.get(), conn)
        {
            entry.remove();
        }
        if map.is_empty() && map.capacity() > 1024 {
            map.shrink_to_fit();
        }
    }

    pub(crate) fn counters(&self) -> Counters {
        let mut counters = Counters::default();
        for shard in &self.shards {
            counters.add(&shard.tally);
        }
        counters
    }

    pub(crate) fn session_count(&self) -> usize {
        let len = |map: &Mutex<HashMap<_, _, _>>| {
            map.lock().unwrap_or_else(PoisonError::into_inner).len()
        };
        self.sessions.iter().map(len).sum()
    }

    /// Closes all connections, those of the server beside, too, and those that were promised a session and
    /// have none yet.
    pub(crate) fn close(&self) {
        // First: whoever becomes a session behind the walk sees it.
        self.closes.fetch_add(1, Ordering::SeqCst);
        self.for_each_session(|conn| conn.command(Command::Shutdown));
        if let Some(beside) = &self.beside {
            beside.close();
        }
    }

    /// Lets nobody in any more.
    pub(crate) fn shut(&self) {
        self.is_shut.store(true, Ordering::SeqCst);
        if let Some(beside) = &self.beside {
            beside.shut();
        }
    }

    /// Connections whose task has not ended, those of the server beside included.
    pub(crate) fn drivers_left(&self) -> usize {
        let beside = self.beside.as_ref().map_or(0, Service::drivers_left);
        self.drivers.load(Ordering::Acquire) + beside
    }

    pub(crate) fn for_each_session(&self, mut f: impl FnMut(&Arc<Conn>)) {
        for map in &self.sessions {
            let conns: Vec<_> = {
                let map = map.lock().unwrap_or_else(PoisonError::into_inner);
                map.values().cloned().collect()
            };
            conns.iter().for_each(&mut f);
        }
    }

    /// More is buffered than may be: closes connections, those with the most first, until it is not.
    pub(crate) fn relieve(&self) {
        let mut laden = Vec::new();
        self.for_each_session(|conn| match conn.lock().buffered_bytes() {
            0 => {}
            bytes => laden.push((bytes, Arc::clone(conn))),
        });
        laden.sort_unstable_by_key(|(bytes, _)| std::cmp::Reverse(*bytes));
        // What a connection has taken in goes with its task, a moment later.
        let mut going = 0;
        let mut closed = 0_u32;
        for (_, conn) in laden {
            if self.ledger.excess().is_none_or(|excess| excess <= going) {
                break;
            }
            going += conn.shed();
            conn.shard().tally.hit(Limit::Memory);
            closed += 1;
        }
        if closed > 0
            && let Some(suppressed) = self.gate.shed.ask(clock::now())
        {
            let budget = self.ledger.budget();
            tracing::warn!(
                closed,
                budget,
                suppressed,
                "too much was buffered: connections were closed"
            );
        }
    }

    // ---- namespaces ---------------------------------------------------------------------------

    /// The namespace of this name, opened if it is one that may be opened on demand, with a visitor
    /// expected.
    pub(crate) fn visit(self: &Arc<Self>, name: &str) -> Result<Visit, Refuse> {
        {
            let realms = self.realms.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(realm) = realms.get(name) {
                realm.place().expect_visitor();
                return Ok(Visit::expected(Arc::clone(realm)));
            }
        }
        let mounted = self.mounted.iter().find(|mounted| {
            contain("the choice of a namespace", || mounted.matches(name)).unwrap_or(false)
        });
        let mounted = mounted.ok_or_else(|| {
            let there: Vec<_> = self.mounted.iter().filter_map(|one| one.fixed_name()).collect();
            debug::hint(
                self.debug,
                format_args!(
                    "a client asked for the namespace {}, and no other than {} and those of patterns are \
                     there: Server::mount adds one",
                    Quoted(name),
                    there.join(", "),
                ),
            );
            Refuse::new("Invalid namespace")
        })?;
        self.open(name, Stay::WhileInhabited, &**mounted)
            .ok_or_else(|| Refuse::new("Too many namespaces"))
    }

    pub(crate) fn existing(&self, name: &str) -> Option<Arc<dyn Realm>> {
        self.realms
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(name)
            .cloned()
    }

    /// Opens a namespace, unless it is open; `None` if there are too many.
    fn open(self: &Arc<Self>, name: &str, stay: Stay, mounted: &dyn Mounted) -> Option<Visit> {
        let mut realms = self.realms.write().unwrap_or_else(PoisonError::into_inner);
        let is_new = stay == Stay::WhileInhabited && !realms.contains_key(name);
        if is_new {
            let fixed = self.mounted.iter().filter(|one| one.fixed_name().is_some());
            if realms.len().saturating_sub(fixed.count()) >= self.config.max_dynamic_namespaces {
                self.shards[0].tally.hit(Limit::DynamicNamespaces);
                return None;
            }
        }
        let realm = realms.entry(name.into()).or_insert_with(|| {
            let parts = self.shards.len() * (1 + self.parsers.len());
            let seeds = (0..parts).map(|_| u64::from_ne_bytes(entropy::bytes()));
            let max_rooms = self.config.max_rooms;
            let (hub, mut onlookers) = (Arc::downgrade(self), mounted.onlookers());
            let memory = Memory::new(&self.config, name, self.cluster.as_ref());
            onlookers.slow.get_or_insert(self.config.slow_clients);
            let place = Place::new(name, hub, stay, max_rooms, onlookers, seeds, memory);
            let place = place.heard_by(self.cluster.as_ref());
            if let Some(cluster) = &self.cluster {
                cluster.send(cluster::Command::Open(name.into()));
            }
            mounted.open(Arc::new(place))
        });
        realm.place().expect_visitor();
        let realm = Arc::clone(realm);
        if let (true, Some(openings)) = (is_new, &self.openings) {
            openings.note(NamespaceEvent::Opened { name: name.into() });
        }
        drop(realms);
        if let (true, Some(openings)) = (is_new, &self.openings) {
            openings.tell();
        }
        Some(Visit::expected(realm))
    }

    /// All namespaces that are open.
    pub(crate) fn places(&self) -> Vec<Arc<Place>> {
        let realms = self.realms.read().unwrap_or_else(PoisonError::into_inner);
        let places = realms.values().map(|realm| Arc::clone(realm.place()));
        places.collect()
    }

    /// Closes a namespace that was opened on demand and that everybody has left.
    pub(crate) fn close_if_deserted(&self, name: &str) {
        let mut realms = self.realms.write().unwrap_or_else(PoisonError::into_inner);
        if realms
            .get(name)
            .is_some_and(|realm| realm.place().is_deserted())
        {
            realms.remove(name);
            if realms.capacity() > 1024 && realms.len() < realms.capacity() / 4 {
                realms.shrink_to_fit();
            }
            if let Some(cluster) = &self.cluster {
                cluster.send(cluster::Command::Close(name.into()));
            }
            if let Some(openings) = &self.openings {
                openings.note(NamespaceEvent::Closed { name: name.into() });
                drop(realms);
                openings.tell();
            }
        }
    }
}
