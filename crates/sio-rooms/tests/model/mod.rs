//! The naive model of an index, and programs in bytes that run on both. The fuzz target `rooms_model`
//! runs the same file.

use std::collections::{BTreeMap, BTreeSet};

use sio_rooms::{JoinError, Joined, MemberId, Rooms, Selection};

/// Few names, for rooms and members alike: they must collide.
const NAMES: [&str; 7] = ["a", "b", "c", "d", "e", "f", ""];
const MAX_ROOMS: usize = 3;

/// What [`Rooms`] promises, with nothing done to be fast. Members are numbered as they enter.
#[derive(Default)]
struct Model {
    members: BTreeMap<u32, &'static str>,
    by_name: BTreeMap<&'static str, u32>,
    rooms: BTreeMap<&'static str, BTreeSet<u32>>,
}

impl Model {
    fn rooms_of(&self, member: u32) -> BTreeSet<&str> {
        let mine = self
            .rooms
            .iter()
            .filter(|(_, members)| members.contains(&member));
        mine.map(|(&name, _)| name).collect()
    }

    fn reached(&self, name: &str) -> BTreeSet<u32> {
        let mut reached = self.rooms.get(name).cloned().unwrap_or_default();
        reached.extend(self.by_name.get(name));
        reached
    }

    fn select(&self, rooms: &[&str], except: &[&str]) -> Vec<u32> {
        let mut reached: BTreeSet<u32> = match rooms {
            [] => self.members.keys().copied().collect(),
            _ => rooms.iter().flat_map(|name| self.reached(name)).collect(),
        };
        for name in except {
            reached = &reached - &self.reached(name);
        }
        reached.into_iter().collect()
    }

    fn leave(&mut self, member: u32, room: &str) -> bool {
        let Some(members) = self.rooms.get_mut(room) else {
            return false;
        };
        let left = members.remove(&member);
        if members.is_empty() {
            self.rooms.remove(room);
        }
        left
    }

    fn exit(&mut self, member: u32) -> Option<&'static str> {
        let name = self.members.remove(&member)?;
        for room in NAMES {
            self.leave(member, room);
        }
        if self.by_name.get(name) == Some(&member) {
            self.by_name.remove(name);
        }
        Some(name)
    }
}

/// Runs a program on the index and on the model and panics where they differ. Any bytes are a program.
pub(crate) fn run(program: &[u8]) {
    let mut program = program.iter().copied();
    let mut next = || program.next().map(usize::from);
    let mut rooms = Rooms::with_seed(0x5eed).with_max_rooms_per_member(MAX_ROOMS);
    let mut model = Model::default();
    // Every id ever given out: most programs also use those whose members are gone.
    let mut ids: Vec<MemberId> = Vec::new();

    while let (Some(command), Some(who), Some(what)) = (next(), next(), next()) {
        let name = NAMES[what % NAMES.len()];
        let serial = (who % ids.len().max(1)) as u32;
        let id = ids.get(serial as usize).copied();
        match (command % 8, id) {
            (0 | 1, _) | (_, None) => {
                let serial = ids.len() as u32;
                ids.push(rooms.enter(name, serial));
                model.members.insert(serial, name);
                model.by_name.insert(name, serial);
            }
            (2, Some(id)) => {
                assert_eq!(
                    rooms.exit(id),
                    model.exit(serial).map(|name| (name, serial))
                );
            }
            (3..=5, Some(id)) => {
                let mine = model.rooms_of(serial);
                let expected = match model.members.get(&serial) {
                    None => Err(JoinError::Gone),
                    Some(&own) if own == name => Ok(Joined::Already),
                    _ if mine.contains(name) => Ok(Joined::Already),
                    _ if mine.len() == MAX_ROOMS => Err(JoinError::TooMany { limit: MAX_ROOMS }),
                    _ if model.rooms.contains_key(name) => Ok(Joined::Entered),
                    _ => Ok(Joined::Created),
                };
                assert_eq!(rooms.join(id, name), expected);
                if expected.is_ok_and(Joined::is_new) {
                    model.rooms.entry(name).or_default().insert(serial);
                }
            }
            (6, Some(id)) => assert_eq!(rooms.leave(id, name), model.leave(serial, name)),
            (_, Some(_)) => {
                let mut pick = |names: usize| -> Vec<&str> {
                    (0..names)
                        .map_while(|_| next())
                        .map(|at| NAMES[at % NAMES.len()])
                        .collect()
                };
                let (to, except) = (pick(who % 4), pick(what % 4));
                compare_walks(&rooms, &model, &to, &except);
            }
        }
        compare_facts(&rooms, &model, &ids);
    }
    for id in ids {
        rooms.exit(id);
    }
    assert!(rooms.is_empty());
    assert_eq!(rooms.rooms().len(), 0);
}

fn compare_walks(
    rooms: &Rooms<&'static str, u32>,
    model: &Model,
    to: &[&'static str],
    except: &[&'static str],
) {
    let who = Selection::everyone()
        .to_all(to.iter().copied())
        .except_all(except.iter().copied());
    let expected = model.select(to, except);
    let sorted = |mut reached: Vec<u32>| {
        reached.sort_unstable();
        reached
    };
    let outlet = |(id, outlet): (MemberId, &u32)| {
        assert_eq!(rooms.get(id), Some(outlet));
        *outlet
    };

    let mut walked = Vec::new();
    rooms.for_each(&who, |id, outlet_of| walked.push(outlet((id, outlet_of))));
    assert_eq!(
        sorted(walked),
        expected,
        "for_each to {to:?} except {except:?}"
    );

    // Step by step as far as `steps`, in one go from there.
    for steps in [0, 1, 2, usize::MAX] {
        let mut select = rooms.select(&who);
        let mut walked: Vec<u32> = select.by_ref().take(steps).map(outlet).collect();
        select.for_each(|item| walked.push(outlet(item)));
        assert_eq!(
            sorted(walked),
            expected,
            "select to {to:?} except {except:?}"
        );
    }
}

fn compare_facts(rooms: &Rooms<&'static str, u32>, model: &Model, ids: &[MemberId]) {
    assert_eq!(rooms.len(), model.members.len());
    assert_eq!(rooms.rooms().len(), model.rooms.len());
    assert_eq!(
        rooms.rooms().collect::<BTreeSet<_>>(),
        model.rooms.keys().copied().collect()
    );
    for name in NAMES {
        assert_eq!(rooms.room_len(name), model.reached(name).len());
        let member = model.by_name.get(name).map(|&serial| ids[serial as usize]);
        assert_eq!(rooms.member(name), member);
    }
    for (serial, &id) in (0..).zip(ids) {
        let name = model.members.get(&serial);
        assert_eq!(rooms.name(id), name);
        assert_eq!(rooms.get(id), name.map(|_| &serial));
        assert_eq!(rooms.rooms_of(id).len(), model.rooms_of(serial).len());
        assert_eq!(
            rooms.rooms_of(id).collect::<BTreeSet<_>>(),
            model.rooms_of(serial)
        );
    }
}
