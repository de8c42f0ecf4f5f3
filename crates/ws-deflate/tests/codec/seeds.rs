//! The fuzz target, run over its seeds as a plain test.

#[test]
fn inflate() {
    sio_testkit::each_seed("inflate", crate::oracle::inflate);
}
