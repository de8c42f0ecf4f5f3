//! Random programs of enter, exit, join, leave and select, on the index and on a naive model.

mod model;

use proptest::{collection::vec, prelude::*};

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn the_index_agrees_with_the_naive_model(program in vec(any::<u8>(), 0..600)) {
        model::run(&program);
    }
}

/// The seeds of the fuzz target `rooms_model`.
#[test]
fn the_index_agrees_with_the_naive_model_on_every_fuzz_seed() {
    sio_testkit::each_seed("rooms_model", model::run);
}
