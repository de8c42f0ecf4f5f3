//! The fuzz targets, run over their seeds as plain tests.

mod oracle;

use sio_testkit::each_seed;

#[test]
fn sio_msgpack() {
    each_seed("sio_msgpack", oracle::sio_msgpack);
}

#[test]
fn sio_parse() {
    each_seed("sio_parse", oracle::sio_parse);
}

#[test]
fn sio_reassemble() {
    each_seed("sio_reassemble", oracle::sio_reassemble);
}
