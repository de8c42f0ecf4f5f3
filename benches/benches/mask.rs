//! Masking throughput by payload size, beside what bounds it (one copy of the same bytes) and what it
//! replaces (a loop over bytes as RFC 6455 §5.3 writes it).

use std::hint::black_box;

use benches::Gauge;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const SIZES: [usize; 10] = [
    4,
    16,
    64,
    125,
    256,
    1 << 10,
    4 << 10,
    16 << 10,
    64 << 10,
    1 << 20,
];
const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

fn mask(criterion: &mut Criterion<Gauge>) {
    let mut group = criterion.benchmark_group("mask");
    for size in SIZES {
        let mut payload = benches::letters(size).into_bytes();
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(BenchmarkId::new("ours", size), |bencher| {
            bencher.iter(|| ws_frame::mask(black_box(&mut payload), black_box(KEY)));
        });
        group.bench_function(BenchmarkId::new("bytes", size), |bencher| {
            bencher.iter(|| by_bytes(black_box(&mut payload), black_box(KEY)));
        });
        let mut copy = vec![0; size];
        group.bench_function(BenchmarkId::new("memcpy", size), |bencher| {
            bencher.iter(|| black_box(&mut copy[..]).copy_from_slice(black_box(&payload)));
        });
    }
    group.finish();
}

fn by_bytes(payload: &mut [u8], key: [u8; 4]) {
    for (index, byte) in payload.iter_mut().enumerate() {
        *byte ^= key[index % 4];
    }
}

criterion_group! { name = group; config = benches::criterion(); targets = mask }
criterion_main!(group);
