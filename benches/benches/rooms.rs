//! What the index costs: for each member that an emit reaches, and for each join, leave, enter, exit.

use std::cell::Cell;
use std::hint::black_box;
use std::rc::Rc;

use benches::Gauge;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use sio_rooms::{Rooms, Selection};

/// An outlet as the server's is: a pointer to a cache line of its own.
#[repr(align(64))]
struct Outlet(Cell<u64>);

fn town(members: u64) -> Rooms<String, Rc<Outlet>> {
    let mut rooms = Rooms::with_seed(1);
    for member in 0..members {
        let id = rooms.enter(format!("{member:020}"), Rc::new(Outlet(Cell::new(member))));
        rooms.join(id, "all").expect("the first room");
        rooms
            .join(id, ["even", "odd"][member as usize % 2])
            .expect("the second room");
    }
    rooms
}

/// One walk; time per member reached. The floor is a walk over a vector of the same outlets.
fn walk(criterion: &mut Criterion<Gauge>) {
    let mut group = criterion.benchmark_group("walk");
    for members in [10, 1_000, 10_000] {
        let rooms = town(members);
        let outlets: Vec<_> = rooms
            .select(&Selection::everyone())
            .map(|(_, outlet)| Rc::clone(outlet))
            .collect();
        let name = format!("{:020}", members / 2);
        let selections = [
            ("everyone", Selection::everyone()),
            ("everyone-except-one", Selection::everyone().except(&*name)),
            ("one-room", Selection::everyone().to("all")),
            (
                "one-room-except-one",
                Selection::everyone().to("all").except(&*name),
            ),
            ("two-rooms", Selection::everyone().to("even").to("odd")),
            (
                "two-rooms-overlapping",
                Selection::everyone().to("all").to("odd"),
            ),
        ];
        group.throughput(Throughput::Elements(members));
        group.bench_function(BenchmarkId::new("floor", members), |bencher| {
            bencher.iter(|| outlets.iter().for_each(|outlet| touch(outlet)));
        });
        for (name, who) in &selections {
            group.bench_function(BenchmarkId::new(*name, members), |bencher| {
                bencher.iter(|| rooms.for_each(black_box(who), |_, outlet| touch(outlet)));
            });
        }
        let own = Selection::everyone().to(&*name);
        group.throughput(Throughput::Elements(1));
        group.bench_function(BenchmarkId::new("one-member", members), |bencher| {
            bencher.iter(|| rooms.for_each(black_box(&own), |_, outlet| touch(outlet)));
        });
    }
    group.finish();
}

/// What an emit does at least: one read and one write in the outlet.
#[inline]
fn touch(outlet: &Outlet) {
    outlet.0.set(outlet.0.get() + 1);
}

fn change(criterion: &mut Criterion<Gauge>) {
    let mut group = criterion.benchmark_group("change");
    for members in [10, 10_000] {
        let mut rooms = town(members);
        let id = rooms
            .member(&format!("{:020}", members / 2))
            .expect("one of them");
        group.bench_function(BenchmarkId::new("leave-join", members), |bencher| {
            bencher.iter(|| {
                rooms.leave(id, black_box("all"));
                rooms.join(id, black_box("all"))
            });
        });
        group.bench_function(
            BenchmarkId::new("join-leave-own-room", members),
            |bencher| {
                bencher.iter(|| {
                    rooms
                        .join(id, black_box("a room for one"))
                        .expect("below the limit");
                    rooms.leave(id, black_box("a room for one"))
                });
            },
        );
        let outlet = Rc::new(Outlet(Cell::new(0)));
        group.bench_function(BenchmarkId::new("enter-join-exit", members), |bencher| {
            let newcomer = || ("newcomer of 20 chars".to_owned(), Rc::clone(&outlet));
            bencher.iter_batched(
                newcomer,
                |(name, outlet)| {
                    let id = rooms.enter(name, outlet);
                    rooms.join(id, black_box("all")).expect("the first room");
                    rooms.exit(id)
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

criterion_group! { name = group; config = benches::criterion(); targets = walk, change }
criterion_main!(group);
