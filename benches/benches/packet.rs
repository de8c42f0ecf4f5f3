//! Socket.IO packets: parsed and read into a handler's type, and written, beside what serde_json alone
//! takes for the same text.

use std::hint::black_box;

use benches::Gauge;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use serde::{Deserialize, Serialize};
use sio_packet::{Args, Attachments, Limits, Packet, write_ack, write_event};

/// A chat message, as a handler would take it.
#[derive(Deserialize, Serialize)]
struct Message {
    room: String,
    text: String,
    likes: u32,
}

fn message(len: usize) -> Message {
    Message {
        room: "lobby".to_owned(),
        text: benches::letters(len),
        likes: 3,
    }
}

fn parse(criterion: &mut Criterion<Gauge>) {
    let mut group = criterion.benchmark_group("parse");
    let limits = Limits::default();
    for len in [32, 1 << 10, 64 << 10] {
        let json = serde_json::to_string(&message(len)).expect("plain data");
        let text = format!("212[\"message\",{json}]");
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(BenchmarkId::new("event-name", len), |bencher| {
            bencher.iter(|| {
                let packet = Packet::parse(black_box(&text), &limits).expect("valid");
                packet.event(&limits).expect("an event").0.len()
            });
        });
        group.bench_function(BenchmarkId::new("event-and-struct", len), |bencher| {
            bencher.iter(|| {
                let packet = Packet::parse(black_box(&text), &limits).expect("valid");
                let (_, rest) = packet.event(&limits).expect("an event");
                Args::event(rest, &mut [])
                    .read::<Message>()
                    .expect("a message")
            });
        });
        group.bench_function(
            BenchmarkId::new("serde_json, struct alone", len),
            |bencher| {
                bencher
                    .iter(|| serde_json::from_str::<Message>(black_box(&json)).expect("a message"));
            },
        );
    }
    group.finish();
}

fn write(criterion: &mut Criterion<Gauge>) {
    let mut group = criterion.benchmark_group("write");
    for len in [32, 1 << 10, 64 << 10] {
        let message = message(len);
        let mut out = Vec::with_capacity(len + 256);
        group.throughput(Throughput::Bytes(len as u64));
        group.bench_function(BenchmarkId::new("event", len), |bencher| {
            bencher.iter(|| {
                out.clear();
                let mut attachments = Attachments::default();
                let message = black_box(&message);
                write_event(&mut out, "/", None, "message", message, &mut attachments)
            });
        });
        group.bench_function(BenchmarkId::new("ack", len), |bencher| {
            bencher.iter(|| {
                out.clear();
                write_ack(
                    &mut out,
                    "/",
                    12,
                    black_box(&message),
                    &mut Attachments::default(),
                )
            });
        });
        group.bench_function(
            BenchmarkId::new("serde_json, struct alone", len),
            |bencher| {
                bencher.iter(|| {
                    out.clear();
                    serde_json::to_writer(&mut out, black_box(&message))
                });
            },
        );
    }
    group.finish();
}

criterion_group! { name = group; config = benches::criterion(); targets = parse, write }
criterion_main!(group);
