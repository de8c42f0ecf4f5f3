//! A test client's way from polling to WebSocket, in the steps of a browser.

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use ws_frame::{Connection, Message, OpCode, Role};

use super::{
    error::Error,
    line::{Line, Shared, State, Transport, frame, stream_tasks},
    reader::{FRAMES, Reader},
    requests::answered,
};

impl Line {
    /// Moves to a WebSocket, if it polls.
    pub(super) async fn upgrade(&self) -> Result<(), Error> {
        let Some(polls) = &self.polls else {
            return Ok(());
        };
        let requests = polls.lock().await;
        let shared = &self.shared;
        if shared.transport() == Transport::WebSocket {
            return Ok(());
        }
        let limit = shared.time_limit;
        let (mut stream, unread) = requests.websocket(limit).await?;
        answered(limit, "the answer to the probe", probe(&mut stream, unread)).await?;
        // Polling comes to rest: first what is asked, then what is said.
        let reader = halt(shared).await?;
        let mut last_word = Vec::new();
        frame(&mut last_word, OpCode::Text, b"5");
        let queue = shared.turn_off(last_word);
        let said = |state: &mut State| (state.pings.1 >= state.pings.0).then_some(());
        shared.wait("the answers to the POSTs", said).await?;
        let stalled = self.stalled.subscribe();
        *self.tasks.lock() = stream_tasks(reader, stream, Vec::new(), queue, stalled);
        Ok(())
    }
}

/// Asks whether the WebSocket works. `None` if it does not.
async fn probe(stream: &mut DuplexStream, mut unread: Vec<u8>) -> Option<()> {
    let mut out = Vec::new();
    frame(&mut out, OpCode::Text, b"2probe");
    stream.write_all(&out).await.ok()?;
    let mut frames = Connection::new(Role::Client, FRAMES);
    loop {
        match frames.receive(&mut &mut unread[..]).ok()? {
            // Behind it comes nothing before our last word.
            Some(Message::Text("3probe")) => return Some(()),
            Some(_) => return None,
            None => {}
        }
        unread.clear();
        if stream.read_buf(&mut unread).await.ok()? == 0 {
            return None;
        }
    }
}

/// Waits for the answer of the GET that waits, which the server gives at once to who has probed, and lets no
/// other follow.
async fn halt(shared: &Shared) -> Result<Reader, Error> {
    shared.state.lock().halts = true;
    let halted = |state: &mut State| state.halted.take();
    let reader = shared.wait("the answer of the last poll", halted).await;
    reader.or_else(|error| {
        let mut state = shared.state.lock();
        state.halts = false;
        state.halted.take().ok_or(error)
    })
}
