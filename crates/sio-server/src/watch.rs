//! An epoll instance for the plain sockets of one shard, which is itself a thing that the runtime waits
//! for.
//!
//! The runtime would do the same for each socket, with a block of 256 bytes aligned to 128, and two locks
//! for every time that it is ready. Here a socket is 16 bytes in a table, and a flag or two beside its
//! descriptor.
//!
//! Events are edges: each is told once. A flag is taken away before the call that it promises something
//! of, so whatever comes after that call sets it again.

use std::{
    io::{self, IoSlice},
    mem::MaybeUninit,
    net::{SocketAddr, TcpListener as StdListener, TcpStream as StdStream},
    os::fd::{AsFd, AsRawFd, OwnedFd, RawFd},
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU32, Ordering},
    },
    task::{Context, Poll, Waker, ready},
};

use parking_lot::Mutex;
use rustix::{
    event::{
        Timespec,
        epoll::{self, CreateFlags, Event, EventData, EventFlags},
    },
    io::Errno,
    net::{SocketFlags, acceptfrom_with},
};
use tokio::{
    io::{Interest, unix::AsyncFd},
    net::TcpStream,
};

use crate::{
    kernel,
    tcp::{Got, Tcp},
};

/// Events that are asked for at a time.
const EVENTS: usize = 128;

/// Places of a table that are kept, however few are used.
const KEEP: usize = 1024;

/// No place.
const NONE: u32 = u32::MAX;

/// There is something to read, or an end, or an error.
const READABLE: u8 = 1;
/// Nothing more will come than what is there.
const ENDED: u8 = 2;
/// The socket takes something again. Set only if somebody has asked.
const WRITABLE: u8 = 4;
/// Somebody has asked.
const ASKED: u8 = 8;
/// The socket could not be watched.
const UNWATCHED: u8 = 16;

/// The sockets of a shard.
pub(crate) struct Sockets {
    epoll: OwnedFd,
    table: Mutex<Table>,
}

struct Table {
    places: Vec<Place>,
    /// The first of the free places, which are linked.
    free: u32,
    used: usize,
}

enum Place {
    Free(u32),
    Used(Arc<Tcp>),
}

/// Looks which sockets are ready, and wakes their tasks.
pub(crate) struct Watch {
    sockets: AsyncFd<Arc<Sockets>>,
    task: Waker,
    /// The runtime will wake the task when one of them is ready.
    waits: bool,
}

impl Watch {
    pub(crate) fn new() -> io::Result<Self> {
        let sockets = Arc::new(Sockets {
            epoll: epoll::create(CreateFlags::CLOEXEC)?,
            table: Mutex::new(Table {
                places: Vec::new(),
                free: NONE,
                used: 0,
            }),
        });
        Ok(Self {
            sockets: waited_for(sockets)?,
            task: Waker::noop().clone(),
            waits: false,
        })
    }

    pub(crate) fn sockets(&self) -> &Arc<Sockets> {
        self.sockets.get_ref()
    }

    /// Wakes whose sockets are ready. The task is woken when others are. `at_once` is to look even if the
    /// runtime has not seen anything.
    #[inline]
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, at_once: bool) {
        let mut looked = false;
        loop {
            let _ = self.sockets.try_io(Interest::READABLE, |sockets| {
                sockets.look();
                (looked, self.waits) = (true, false);
                // What comes after this look the runtime is told again.
                Err::<(), _>(io::ErrorKind::WouldBlock.into())
            });
            if self.waits && self.task.will_wake(cx.waker()) {
                break;
            }
            if !matches!(self.sockets.poll_read_ready(cx), Poll::Ready(Ok(_))) {
                self.task.clone_from(cx.waker());
                self.waits = true;
                break;
            }
        }
        if at_once && !looked {
            self.sockets().look();
        }
    }
}

impl Sockets {
    /// Wakes whose sockets are ready.
    fn look(&self) {
        let mut events = [const { MaybeUninit::<Event>::uninit() }; EVENTS];
        loop {
            let now = Timespec::default();
            let events = match epoll::wait(&self.epoll, &mut events[..], Some(&now)) {
                Ok((events, _)) => events,
                Err(Errno::INTR) => continue,
                Err(error) => {
                    tracing::error!(%error, "a shard cannot look at its sockets");
                    return;
                }
            };
            let table = self.table.lock();
            for event in &*events {
                // A socket that has gone meanwhile may have left its place to another, which looks in vain.
                let place = usize::try_from(event.data.u64()).ok();
                if let Some(Place::Used(tcp)) = place.and_then(|place| table.places.get(place))
                    && let Tcp::Shard(socket) = &**tcp
                {
                    socket.tell(event.flags);
                }
            }
            drop(table);
            if events.len() < EVENTS {
                return;
            }
        }
    }
}

impl AsRawFd for Sockets {
    fn as_raw_fd(&self) -> RawFd {
        self.epoll.as_raw_fd()
    }
}

impl Table {
    fn insert(&mut self, tcp: Arc<Tcp>) -> u32 {
        self.used += 1;
        if let Some(place) = self.places.get_mut(self.free as usize) {
            let index = self.free;
            if let Place::Free(next) = std::mem::replace(place, Place::Used(tcp)) {
                self.free = next;
            }
            return index;
        }
        self.places.push(Place::Used(tcp));
        u32::try_from(self.places.len() - 1).expect("because there are not that many sockets")
    }

    #[must_use]
    fn remove(&mut self, index: u32) -> Option<Place> {
        let place = self.places.get_mut(index as usize)?;
        let removed = std::mem::replace(place, Place::Free(self.free));
        self.free = index;
        self.used -= 1;
        if self.used == 0 && self.places.len() > KEEP {
            // After a storm nothing is kept of it.
            self.places = Vec::new();
            self.free = NONE;
        }
        Some(removed)
    }
}

/// A socket that is watched by its shard.
pub(crate) struct Watched {
    socket: OwnedFd,
    place: AtomicU32,
    ready: AtomicU8,
    sockets: Arc<Sockets>,
    task: Mutex<Option<Waker>>,
}

impl Watched {
    /// It is watched from [`watch`](Self::watch) on.
    pub(crate) fn new(accepted: Accepted, sockets: &Arc<Sockets>) -> Self {
        Self {
            socket: accepted.0,
            place: AtomicU32::new(NONE),
            ready: AtomicU8::new(0),
            sockets: Arc::clone(sockets),
            task: Mutex::new(None),
        }
    }

    /// Has `task` woken when something comes, or has come. `tcp` is this socket.
    pub(crate) fn watch(&self, tcp: &Arc<Tcp>, task: Waker) {
        *self.task.lock() = Some(task);
        let place = self.sockets.table.lock().insert(Arc::clone(tcp));
        self.place.store(place, Ordering::Relaxed);
        let data = EventData::new_u64(place.into());
        if let Err(error) = epoll::add(&self.sockets.epoll, &self.socket, data, reading()) {
            tracing::error!(%error, "a connection cannot be watched");
            self.ready.fetch_or(READABLE | UNWATCHED, Ordering::AcqRel);
            self.wake();
        }
    }

    /// Nobody is woken any more. Whoever closes the socket ends the rest.
    pub(crate) fn unwatch(&self) {
        let place = self.place.swap(NONE, Ordering::Relaxed);
        if place != NONE {
            let removed = self.sockets.table.lock().remove(place);
            drop(removed);
        }
    }

    /// The socket is for somebody else, who does not close it.
    pub(crate) fn forget(&self) {
        let _ = epoll::delete(&self.sockets.epoll, &self.socket);
    }

    /// Notes what has happened.
    fn tell(&self, flags: EventFlags) {
        let mut told = 0;
        if flags.intersects(EventFlags::IN | EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR)
        {
            told |= READABLE;
        }
        if flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR) {
            told |= ENDED;
        }
        let asked = self.ready.load(Ordering::Acquire) & ASKED != 0;
        if asked && flags.intersects(EventFlags::OUT | EventFlags::HUP | EventFlags::ERR) {
            told |= WRITABLE;
        }
        let known = self.ready.fetch_or(told, Ordering::AcqRel);
        // Who has been told so and has not read yet will do that without being woken.
        if told & !known & (READABLE | WRITABLE) != 0 {
            self.wake();
        }
    }

    fn wake(&self) {
        if let Some(task) = &*self.task.lock() {
            task.wake_by_ref();
        }
    }

    /// Has the task woken from now on.
    #[inline]
    fn register(&self, cx: &Context<'_>) {
        let mut task = self.task.lock();
        match &mut *task {
            Some(task) => task.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
    }

    fn is(&self, flag: u8) -> bool {
        self.ready.load(Ordering::Acquire) & flag != 0
    }

    pub(crate) fn poll_recv(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<Got>> {
        loop {
            let known = self.ready.load(Ordering::Acquire);
            if known & READABLE != 0 {
                self.ready.fetch_and(!READABLE, Ordering::AcqRel);
            } else if known & ENDED == 0 {
                self.register(cx);
                if self.is(READABLE) {
                    continue;
                }
                return Poll::Pending;
            }
            if known & UNWATCHED != 0 {
                return Poll::Ready(Err(io::ErrorKind::Other.into()));
            }
            match kernel::recv(&self.socket, buf) {
                Ok(len) if len < buf.len() => {
                    self.register(cx);
                    let all = !self.is(READABLE | ENDED);
                    return Poll::Ready(Ok(Got { len, all }));
                }
                Ok(len) => {
                    self.ready.fetch_or(READABLE, Ordering::AcqRel);
                    return Poll::Ready(Ok(Got { len, all: false }));
                }
                // What it was told of has been read already, or was about who had its place before.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.ready.fetch_and(!ENDED, Ordering::AcqRel);
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    pub(crate) fn poll_send_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.is(ASKED) {
            self.register(cx);
            self.ready.fetch_or(ASKED, Ordering::AcqRel);
            let data = EventData::new_u64(self.place.load(Ordering::Relaxed).into());
            // Told at once if it takes something already.
            epoll::modify(
                &self.sockets.epoll,
                &self.socket,
                data,
                reading() | EventFlags::OUT,
            )?;
        }
        if !self.is(WRITABLE) {
            self.register(cx);
            if !self.is(WRITABLE) {
                return Poll::Pending;
            }
        }
        self.ready.fetch_and(!(ASKED | WRITABLE), Ordering::AcqRel);
        Poll::Ready(Ok(()))
    }

    pub(crate) fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        kernel::send(&self.socket, bytes)
    }

    pub(crate) fn send_all(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        kernel::send_all(&self.socket, slices)
    }

    pub(crate) fn shutdown(&self) -> io::Result<()> {
        Ok(rustix::net::shutdown(
            &self.socket,
            rustix::net::Shutdown::Write,
        )?)
    }
}

impl From<Watched> for StdStream {
    fn from(watched: Watched) -> Self {
        watched.socket.into()
    }
}

/// Something that the runtime waits for.
#[allow(
    deprecated,
    reason = "what is to be used instead is unsafe, for the sake of types whose descriptor changes"
)]
fn waited_for<T: AsRawFd>(inner: T) -> io::Result<AsyncFd<T>> {
    AsyncFd::with_interest(inner, Interest::READABLE)
}

/// What every socket is watched for.
fn reading() -> EventFlags {
    EventFlags::IN | EventFlags::RDHUP | EventFlags::ET
}

/// A socket that clients connect to.
pub(crate) struct Listening(AsyncFd<StdListener>);

/// A socket that nobody watches yet.
pub(crate) struct Accepted(OwnedFd);

impl Listening {
    pub(crate) fn from_std(listener: StdListener) -> io::Result<Self> {
        waited_for(listener).map(Self)
    }

    pub(crate) fn poll_accept(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<(Accepted, SocketAddr)>> {
        const FLAGS: SocketFlags = SocketFlags::CLOEXEC.union(SocketFlags::NONBLOCK);
        loop {
            let mut guard = ready!(self.0.poll_read_ready(cx))?;
            let (socket, peer) = match acceptfrom_with(self.0.get_ref().as_fd(), FLAGS) {
                Err(Errno::WOULDBLOCK) => {
                    guard.clear_ready();
                    continue;
                }
                accepted => accepted?,
            };
            let peer = peer.and_then(|peer| peer.try_into().ok());
            let peer = peer.ok_or(io::ErrorKind::InvalidData)?;
            return Poll::Ready(Ok((Accepted(socket), peer)));
        }
    }
}

impl Accepted {
    /// For the runtime to watch.
    pub(crate) fn into_runtime(self) -> io::Result<TcpStream> {
        TcpStream::from_std(self.0.into())
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        sync::atomic::AtomicUsize,
        task::Wake,
    };

    use proptest::prelude::*;
    use tokio::runtime::{self, Runtime};

    use super::*;

    /// Counts how often it was woken.
    #[derive(Default)]
    struct Bell(AtomicUsize);

    impl Wake for Bell {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A connection: what the shard has of it, and the client.
    struct Line {
        tcp: Arc<Tcp>,
        client: StdStream,
        bell: Arc<Bell>,
    }

    impl Line {
        fn new(sockets: &Arc<Sockets>) -> Self {
            let listener = StdListener::bind("127.0.0.1:0").unwrap();
            let client = StdStream::connect(listener.local_addr().unwrap()).unwrap();
            client.set_nodelay(true).unwrap();
            let (stream, _) = listener.accept().unwrap();
            stream.set_nonblocking(true).unwrap();
            let accepted = Accepted(stream.into());
            let tcp = Arc::new(Tcp::Shard(Watched::new(accepted, sockets)));
            let bell = Arc::<Bell>::default();
            tcp.wakes(Waker::from(Arc::clone(&bell)));
            Self { tcp, client, bell }
        }

        fn socket(&self) -> &Watched {
            match &*self.tcp {
                Tcp::Shard(socket) => socket,
                Tcp::Runtime(_) => unreachable!("it is made above"),
            }
        }

        fn was_woken(&self) -> bool {
            self.bell.0.swap(0, Ordering::Relaxed) > 0
        }

        fn recv(&self, buf: &mut [u8]) -> Poll<io::Result<Got>> {
            let task = Waker::from(Arc::clone(&self.bell));
            self.tcp.poll_recv(&mut Context::from_waker(&task), buf)
        }

        fn poll_send_ready(&self) -> Poll<io::Result<()>> {
            let task = Waker::from(Arc::clone(&self.bell));
            self.tcp.poll_send_ready(&mut Context::from_waker(&task))
        }
    }

    fn watch() -> (Runtime, Watch) {
        let runtime = runtime::Builder::new_current_thread().enable_io().build();
        let runtime = runtime.unwrap();
        let entered = runtime.enter();
        let watch = Watch::new().unwrap();
        drop(entered);
        (runtime, watch)
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Send(usize),
        Look,
        Read(usize),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            (1..50_usize).prop_map(Step::Send),
            Just(Step::Look),
            (1..50_usize).prop_map(Step::Read),
        ];
        prop::collection::vec(step, 0..60)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn nobody_sleeps_while_there_is_something_to_read(steps in steps(), ends: bool) {
            let (_runtime, watch) = watch();
            let mut line = Line::new(watch.sockets());
            let mut buf = [0; 64];
            let (mut sent, mut read) = (0_usize, 0_usize);
            let mut awake = false;
            for step in steps.into_iter().chain([Step::Look]) {
                match step {
                    Step::Send(len) => {
                        let bytes: Vec<u8> = (sent..sent + len).map(|n| n as u8).collect();
                        line.client.write_all(&bytes).unwrap();
                        sent += len;
                    }
                    Step::Look => {
                        watch.sockets().look();
                        awake |= line.was_woken();
                        prop_assert!(awake || read == sent);
                    }
                    Step::Read(most) if awake => match line.recv(&mut buf[..most]) {
                        Poll::Pending => awake = false,
                        Poll::Ready(got) => {
                            let got = got.unwrap();
                            let bytes: Vec<u8> = (read..read + got.len).map(|n| n as u8).collect();
                            prop_assert_eq!(&buf[..got.len], &bytes[..]);
                            read += got.len;
                            awake = !got.all;
                        }
                    },
                    Step::Read(_) => {}
                }
            }
            if ends {
                line.client.shutdown(std::net::Shutdown::Write).unwrap();
                watch.sockets().look();
                prop_assert!(awake || line.was_woken());
                while read <= sent {
                    match line.recv(&mut buf) {
                        Poll::Ready(Ok(Got { len: 0, .. })) => break,
                        Poll::Ready(Ok(Got { len, all })) => {
                            read += len;
                            prop_assert!(!all, "the end is to come");
                        }
                        other => prop_assert!(false, "{:?}", other.map_ok(|got| got.len)),
                    }
                }
                prop_assert_eq!(read, sent);
            }
        }

        /// Against a map.
        #[test]
        fn a_place_is_somebodys_until_it_is_given_back(
            steps in prop::collection::vec((any::<bool>(), 0..100_usize), 0..200),
        ) {
            let (_runtime, watch) = watch();
            let line = Line::new(watch.sockets());
            let mut table = Table { places: Vec::new(), free: NONE, used: 0 };
            let mut taken = Vec::new();
            for (gives_back, which) in steps {
                if gives_back && !taken.is_empty() {
                    let place = taken.swap_remove(which % taken.len());
                    prop_assert!(matches!(table.remove(place), Some(Place::Used(_))));
                } else {
                    let place = table.insert(Arc::clone(&line.tcp));
                    prop_assert!(!taken.contains(&place));
                    taken.push(place);
                }
                prop_assert_eq!(table.used, taken.len());
                prop_assert!(table.places.len() <= 200);
            }
        }
    }

    #[test]
    fn who_could_not_write_is_woken_each_time_that_it_can() {
        let (_runtime, watch) = watch();
        let mut line = Line::new(watch.sockets());
        let bytes = vec![7; 1 << 20];
        for _ in 0..3 {
            let mut sent = 0;
            loop {
                match line.tcp.send(&bytes) {
                    Ok(n) => sent += n,
                    Err(error) => {
                        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                        break;
                    }
                }
            }
            while line.poll_send_ready().is_ready() {
                // What came before the socket was full may be told of once.
                assert!(line.tcp.send(&bytes).is_err());
            }
            line.was_woken();
            let mut rest = vec![0; sent];
            line.client.read_exact(&mut rest).unwrap();
            watch.sockets().look();
            assert!(line.was_woken());
            assert!(matches!(line.poll_send_ready(), Poll::Ready(Ok(()))));
        }
    }

    #[test]
    fn what_is_told_of_one_who_has_gone_harms_nobody_in_its_place() {
        let (_runtime, watch) = watch();
        let gone = Line::new(watch.sockets());
        gone.socket().unwatch();
        let mut line = Line::new(watch.sockets());
        drop(gone.client); // The server's side is open yet.
        watch.sockets().look();
        assert!(line.was_woken(), "in vain");
        let mut buf = [0; 8];
        assert!(line.recv(&mut buf).is_pending());
        line.client.write_all(b"here").unwrap();
        watch.sockets().look();
        assert!(line.was_woken());
        let got = line.recv(&mut buf);
        assert!(matches!(got, Poll::Ready(Ok(Got { len: 4, all: true }))));
    }

    #[test]
    fn the_runtime_wakes_who_watches() {
        let (runtime, mut watch) = watch();
        let mut line = Line::new(watch.sockets());
        runtime.block_on(std::future::poll_fn(|cx| {
            watch.poll(cx, false);
            if line.was_woken() {
                return Poll::Ready(());
            }
            line.client.write_all(b"here").unwrap();
            Poll::Pending
        }));
    }
}
