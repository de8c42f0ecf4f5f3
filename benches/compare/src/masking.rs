//! Masking alone, aligned and not; beside the libraries, RFC 6455 §5.3 byte by byte, and a copy.

use std::hint::black_box;

use crate::case;
use crate::count::{Cost, Meter};
use crate::peer::{Mask, Peer};
use crate::table::{self, Table};

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

pub fn measure(peers: &[Box<dyn Peer>], meter: &mut Meter, reps: usize) -> String {
    let mut functions: Vec<(String, Mask)> = vec![
        ("byte by byte".to_owned(), by_bytes),
        ("a copy instead".to_owned(), copy),
    ];
    for peer in peers {
        if let Some(mask) = peer.mask() {
            functions.push((peer.name().to_owned(), mask));
        }
    }
    functions.push((
        "tungstenite's loop, as yawc has it".to_owned(),
        yawc::mask::apply_mask_fast32,
    ));
    for (name, mask) in &functions {
        if *name != "a copy instead" {
            prove(name, *mask);
        }
    }

    let mut buf = vec![0; (1 << 20) + 128];
    let aligned = buf.as_ptr().align_offset(64);
    let mut out = String::new();
    for (offset, place) in [(0, "at a multiple of 64"), (1, "one byte behind it")] {
        let mut table = Table::new(format!("Masking a payload {place}"));
        for size in SIZES {
            let count = ((1 << 19) / size).clamp(2, 20_000);
            let mut least = vec![Cost::MOST; functions.len()];
            for _ in 0..reps {
                for ((_, mask), least) in functions.iter().zip(&mut least) {
                    let payload = &mut buf[aligned + offset..][..size];
                    let (cost, ()) = meter.cost(count, || {
                        for key in 0..count {
                            mask(black_box(payload), black_box([1, 2, 3, key as u8]));
                        }
                    });
                    *least = least.least(cost);
                }
            }
            let costs: Vec<_> = functions
                .iter()
                .zip(least)
                .map(|((name, _), cost)| (name.clone(), Some(cost)))
                .collect();
            table.column(&case::bytes(size), &costs);
        }
        out += &table.print(&[table::INSTRUCTIONS, table::CYCLES]);
    }
    out
}

fn by_bytes(payload: &mut [u8], key: [u8; 4]) {
    for (index, byte) in payload.iter_mut().enumerate() {
        *byte ^= key[index % 4];
    }
}

/// The first half over the second, twice: as many bytes as there are, in the same place.
fn copy(payload: &mut [u8], _: [u8; 4]) {
    let (first, second) = payload.split_at_mut(payload.len() / 2);
    second[..first.len()].copy_from_slice(first);
    first.copy_from_slice(&second[..first.len()]);
}

fn prove(name: &str, mask: Mask) {
    for len in 0..300 {
        for offset in 0..9 {
            let key = [0x11, 0x22, 0x33, 0x84];
            let mut ours: Vec<u8> = (0..len + offset).map(|i| i as u8).collect();
            let mut theirs = ours.clone();
            mask(&mut ours[offset..], key);
            for (index, byte) in theirs[offset..].iter_mut().enumerate() {
                *byte ^= key[index % 4];
            }
            assert_eq!(ours, theirs, "{name}, {len} bytes at {offset}");
        }
    }
}
