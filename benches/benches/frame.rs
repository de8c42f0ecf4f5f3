//! Receiving and building frames: a stream of masked client messages as `recv` would deliver it, and
//! the one frame that a broadcast builds.

use std::hint::black_box;

use benches::Gauge;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ws_frame::{Connection, Header, Limits, Message, OpCode, Prepared, Role, mask, write_frame};

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// Masked text messages of `size` bytes, as many as fit into `stream` bytes, at least one.
fn client_stream(size: usize, stream: usize) -> (Vec<u8>, usize) {
    let mut payload = benches::letters(size).into_bytes();
    mask(&mut payload, KEY);
    let header = Header {
        mask: Some(KEY),
        ..Header::new(OpCode::Text, size as u64)
    }
    .encode();
    let frame = [header.as_ref(), &payload].concat();
    let count = (stream / frame.len()).max(1);
    (frame.repeat(count), count)
}

/// Every round copies the stream into a scratch, as the kernel would, and receives all of it. The copy
/// alone is the reference.
fn receive(criterion: &mut Criterion<Gauge>) {
    let mut group = criterion.benchmark_group("receive");
    for size in [32, 125, 1 << 10, 64 << 10] {
        let (stream, count) = client_stream(size, 64 << 10);
        let mut scratch = stream.clone();
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(BenchmarkId::new("copy", size), |bencher| {
            bencher.iter(|| black_box(&mut scratch[..]).copy_from_slice(&stream));
        });
        let limits = Limits {
            max_message: 1 << 20,
            ..Limits::default()
        };
        let mut connection = Connection::new(Role::Server, limits);
        group.bench_function(BenchmarkId::new("ours", size), |bencher| {
            bencher.iter(|| {
                scratch.copy_from_slice(&stream);
                let mut input = &mut scratch[..];
                let mut bytes = 0;
                while let Some(message) = connection.receive(&mut input).expect("well-formed") {
                    if let Message::Text(text) = message {
                        bytes += text.len();
                    }
                }
                assert_eq!(bytes, count * size);
            });
        });
        // As the server reads a message that `recv` cut: its second half comes with the next call.
        let cut = stream.len() - size / 2;
        group.bench_function(
            BenchmarkId::new("ours, the last one cut", size),
            |bencher| {
                bencher.iter(|| {
                    scratch.copy_from_slice(&stream);
                    let (mut first, mut second) = scratch.split_at_mut(cut);
                    let mut messages = 0;
                    for input in [&mut first, &mut second] {
                        while connection.receive(input).expect("well-formed").is_some() {
                            messages += 1;
                        }
                    }
                    assert_eq!(messages, count);
                });
            },
        );
    }
    group.finish();
}

fn build(criterion: &mut Criterion<Gauge>) {
    let mut group = criterion.benchmark_group("build");
    for size in [32, 1 << 10, 64 << 10] {
        let payload = benches::letters(size);
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(BenchmarkId::new("prepared", size), |bencher| {
            bencher.iter(|| Prepared::text(black_box(&payload)));
        });
        let mut out = Vec::with_capacity(size + Header::MAX_LEN);
        group.bench_function(BenchmarkId::new("write-frame", size), |bencher| {
            bencher.iter(|| {
                out.clear();
                write_frame(&mut out, OpCode::Text, size, |out| {
                    out.extend_from_slice(black_box(&payload).as_bytes());
                });
            });
        });
    }
    group.finish();
}

criterion_group! { name = group; config = benches::criterion(); targets = receive, build }
criterion_main!(group);
