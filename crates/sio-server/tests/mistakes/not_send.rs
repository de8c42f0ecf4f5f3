//! A handler keeps what may not go to another thread.

use std::cell::Cell;
use std::rc::Rc;

use sio_server::{Ack, Server};

fn main() {
    let count = Rc::new(Cell::new(0));
    let _ = Server::new().on("count", async move |_socket, ()| {
        count.set(count.get() + 1);
        Ack(count.get())
    });
}
