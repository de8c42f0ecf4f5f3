//! However a stream is cut, the outcome is that of the whole, and that of the naive reference.

use crate::oracle::{By, Case, drive, reference, wire};
use proptest::collection::vec;
use proptest::prelude::*;
use ws_frame::{Limits, OpCode, Role};

/// A message in fragments, each followed by control frames.
#[derive(Clone, Debug)]
struct Plan {
    opcode: OpCode,
    rsv: u8,
    fragments: Vec<Fragment>,
}

#[derive(Clone, Debug)]
struct Fragment {
    payload: Vec<u8>,
    controls: Vec<(OpCode, Vec<u8>)>,
}

impl Plan {
    fn write(&self, role: Role, out: &mut Vec<u8>) {
        let last = self.fragments.len() - 1;
        for (i, fragment) in self.fragments.iter().enumerate() {
            let (opcode, rsv) = match i {
                0 => (self.opcode, self.rsv),
                _ => (OpCode::Continuation, 0),
            };
            out.extend(wire(role, i == last, rsv, opcode, &fragment.payload));
            for (opcode, payload) in &fragment.controls {
                out.extend(wire(role, true, 0, *opcode, payload));
            }
        }
    }
}

fn control() -> impl Strategy<Value = (OpCode, Vec<u8>)> {
    prop_oneof![
        8 => (Just(OpCode::Ping), vec(any::<u8>(), 0..=125)),
        4 => (Just(OpCode::Pong), vec(any::<u8>(), 0..=125)),
        1 => (Just(OpCode::Close), close()),
    ]
}

fn close() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(Vec::new()),
        (990..1020_u16, ".{0,20}").prop_map(|(code, reason)| {
            let mut body = code.to_be_bytes().to_vec();
            body.extend(reason.into_bytes());
            body
        }),
        vec(any::<u8>(), 0..=10),
    ]
}

/// Text in which characters of every length are likely, and now and then a byte that spoils it.
fn text() -> impl Strategy<Value = Vec<u8>> {
    let character =
        prop_oneof!["[a-z]", "[ä-ü]", "[ぁ-ん]", "[😀-😎]"].prop_map(String::into_bytes);
    let piece = prop_oneof![60 => character, 1 => vec(any::<u8>(), 1)];
    vec(piece, 0..120).prop_map(|pieces| pieces.concat())
}

/// Cuts a payload into fragments, inside characters too, with control frames between them.
fn plan() -> impl Strategy<Value = Plan> {
    let payload = prop_oneof![
        (Just(OpCode::Text), text()),
        (Just(OpCode::Binary), vec(any::<u8>(), 0..700)),
    ];
    (
        payload,
        prop_oneof![9 => Just(0), 1 => Just(4_u8)],
        vec((0..=1000_usize, vec(control(), 0..2)), 0..5),
        vec(control(), 0..2),
    )
        .prop_map(|((opcode, payload), rsv, cuts, trailing)| {
            let mut rest = payload.as_slice();
            let mut fragments = Vec::new();
            for (per_mille, controls) in cuts {
                let (piece, behind) = rest.split_at(rest.len() * per_mille / 1000);
                fragments.push(Fragment {
                    payload: piece.to_vec(),
                    controls,
                });
                rest = behind;
            }
            fragments.push(Fragment {
                payload: rest.to_vec(),
                controls: trailing,
            });
            Plan {
                opcode,
                rsv,
                fragments,
            }
        })
}

fn case() -> impl Strategy<Value = Case> {
    let limits = prop_oneof![
        4 => Just(Limits::default()),
        1 => (0..400_usize, 1..5_u32, 0..4_u16).prop_map(|(max_message, max_fragments, control_burst)| {
            Limits { max_message, max_fragments, control_burst, ..Limits::default() }
        }),
    ];
    let role = prop_oneof![Just(Role::Server), Just(Role::Client)];
    (
        role,
        any::<bool>(),
        limits,
        prop_oneof![3 => Just(usize::MAX), 1 => 1..6_usize],
    )
        .prop_map(|(role, deflate, limits, close_after)| Case {
            role,
            deflate,
            limits,
            close_after,
        })
}

fn cuts() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![
        Just(vec![1]),
        vec(1..16_usize, 1..8),
        vec(1..400_usize, 1..8)
    ]
}

/// At most this many bytes of the stream are turned into other ones.
fn damage() -> impl Strategy<Value = Vec<(usize, u8)>> {
    prop_oneof![2 => Just(Vec::new()), 1 => vec((any::<usize>(), any::<u8>()), 1..3)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4 * ProptestConfig::default().cases, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_stream_means_the_same_however_it_is_cut(
        case in case(),
        plans in vec(plan(), 1..5),
        damage in damage(),
        cuts in cuts(),
    ) {
        let mut stream = Vec::new();
        for plan in &plans {
            plan.write(case.role, &mut stream);
        }
        for (at, byte) in damage {
            let at = at % stream.len();
            stream[at] ^= byte;
        }
        let expected = reference(case, &stream);
        for by in [By::Slice, By::Space] {
            prop_assert_eq!(&drive(case, by, &stream, &[]), &expected, "whole, {:?}", by);
            prop_assert_eq!(&drive(case, by, &stream, &cuts), &expected, "cut, {:?}", by);
        }
    }

    #[test]
    fn arbitrary_bytes_mean_the_same_however_they_are_cut(data in vec(any::<u8>(), 0..200)) {
        crate::oracle::frame(&data);
        crate::oracle::frame_chunks(&data);
    }
}
