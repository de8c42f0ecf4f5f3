//! The index alone: a town whose outlets are mailboxes.
//!
//! `cargo run -p sio-rooms --example town`

use std::{cell::RefCell, rc::Rc};

use sio_rooms::{JoinError, Rooms, Selection};

/// What stands behind a member is up to us; here it is a list that somebody else reads.
type Mailbox = Rc<RefCell<Vec<&'static str>>>;

fn main() -> Result<(), JoinError> {
    let mut town = Rooms::new();
    let [ann, bob, eve] = ["ann", "bob", "eve"].map(|name| town.enter(name, Mailbox::default()));
    town.join(ann, "choir")?;
    town.join(bob, "choir")?;
    town.join(bob, "council")?;
    town.join(eve, "council")?;

    let post = |town: &Rooms<&str, Mailbox>, who: &Selection, letter: &'static str| {
        town.for_each(who, |_, mailbox| mailbox.borrow_mut().push(letter));
    };
    let both = Selection::everyone().to("choir").to("council");
    post(&town, &both, "everyone in choir or council, once each");
    post(&town, &both.except("bob"), "the same without bob");
    post(
        &town,
        &Selection::everyone().to("eve"),
        "for eve: a member's name is a room",
    );

    for id in [ann, bob, eve] {
        let rooms = town.rooms_of(id).collect::<Vec<_>>().join(" and ");
        let (name, mailbox) = town.exit(id).expect("nobody has left so far");
        println!("{name}, member of {rooms}:");
        for letter in mailbox.take() {
            println!("  {letter}");
        }
    }
    assert_eq!(town.rooms().len(), 0, "a room ends with its last member");
    Ok(())
}
