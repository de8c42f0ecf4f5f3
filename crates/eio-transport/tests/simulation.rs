//! Whole conversations in virtual time, decided by one seed each.
//!
//! `SEED=n` runs one, `SEEDS=n` so many of each kind.

use eio_transport::Reason;
use sio_testkit::engine::{Storm, Weather, World};
use sio_testkit::{Chance, run_seeds};

#[test]
fn inputs_in_any_order_lose_double_and_reorder_nothing() {
    run_seeds(3_000, |seed| Storm::new(Chance::seed(seed)).run(150));
}

#[test]
fn in_fair_weather_everything_arrives_and_every_upgrade_is_completed() {
    let mut upgrades = 0;
    run_seeds(1_000, |seed| {
        let report = World::new(Chance::seed(seed), Weather::Fair).run();
        upgrades += u64::from(report.upgrade.is_some());
    });
    assert!(
        std::env::var_os("SEED").is_some() || upgrades > 800,
        "{upgrades} upgrades"
    );
}

#[test]
fn in_foul_weather_what_arrives_is_a_prefix_and_every_session_ends() {
    let (mut emitted, mut delivered, mut timeouts) = (0, 0, 0);
    run_seeds(2_000, |seed| {
        let report = World::new(Chance::seed(seed), Weather::Foul).run();
        emitted += report.emitted;
        delivered += report.delivered;
        timeouts += u64::from(report.reason == Reason::PingTimeout);
    });
    if std::env::var_os("SEED").is_none() {
        assert!(
            delivered * 3 > emitted,
            "the weather is foul, not deadly: {delivered}/{emitted}"
        );
        assert!(timeouts > 20, "some clients vanish: {timeouts}");
    }
}
