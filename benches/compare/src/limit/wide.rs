//! Masking with the widest vectors that the processor has, found at run time, by intrinsics.

/// Masks with AVX-512 or AVX2 where they are, else with what the compiler makes of words.
pub fn mask(payload: &mut [u8], key: [u8; 4]) {
    match payload.len() {
        0..16 => words::<4>(payload, key),
        #[cfg(target_arch = "x86_64")]
        64.. if is_x86_feature_detected!("avx512f") => {
            // SAFETY: the processor has it.
            unsafe { x86::avx512(payload, key) }
        }
        #[cfg(target_arch = "x86_64")]
        64.. if is_x86_feature_detected!("avx2") => {
            // SAFETY: the processor has it.
            unsafe { x86::avx2(payload, key) }
        }
        16..32 => words::<16>(payload, key),
        _ => words::<32>(payload, key),
    }
}

/// Blocks of `N` bytes, then bytes.
fn words<const N: usize>(payload: &mut [u8], key: [u8; 4]) {
    let (blocks, rest) = payload.as_chunks_mut::<N>();
    for block in blocks {
        for word in block.as_chunks_mut::<4>().0 {
            *word = (u32::from_ne_bytes(*word) ^ u32::from_ne_bytes(key)).to_ne_bytes();
        }
    }
    let (blocks, rest) = rest.as_chunks_mut::<4>();
    for word in blocks {
        *word = (u32::from_ne_bytes(*word) ^ u32::from_ne_bytes(key)).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(key) {
        *byte ^= key;
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        __m256i, __m512i, _mm256_loadu_si256, _mm256_set1_epi32, _mm256_storeu_si256,
        _mm256_xor_si256, _mm512_loadu_si512, _mm512_set1_epi32, _mm512_storeu_si512,
        _mm512_xor_si512,
    };

    macro_rules! wide {
        ($name:ident, $feature:literal, $vector:ty, $width:literal, $set:ident, $load:ident, $store:ident, $xor:ident) => {
            /// Four vectors at a time; the last one overlaps and is loaded before the first is stored.
            #[target_feature(enable = $feature)]
            pub(super) fn $name(payload: &mut [u8], key: [u8; 4]) {
                assert!(payload.len() >= $width);
                let vector = $set(i32::from_le_bytes(key));
                let last = payload.len() - $width;
                let turned = u32::from_le_bytes(key).rotate_right(8 * (last % 4) as u32);
                let mut at = payload.as_mut_ptr();
                // SAFETY: every access is within `payload`: `left` counts its bytes from `at` on.
                unsafe {
                    let end = at.add(last);
                    let tail = $xor($load(end.cast()), $set(turned as i32));
                    let mut left = payload.len();
                    while left >= 4 * $width {
                        for i in 0..4 {
                            let at: *mut $vector = at.add(i * $width).cast();
                            $store(at, $xor($load(at), vector));
                        }
                        at = at.add(4 * $width);
                        left -= 4 * $width;
                    }
                    while left >= $width {
                        let here: *mut $vector = at.cast();
                        $store(here, $xor($load(here), vector));
                        at = at.add($width);
                        left -= $width;
                    }
                    $store(end.cast(), tail);
                }
            }
        };
    }

    wide!(
        avx2,
        "avx2",
        __m256i,
        32,
        _mm256_set1_epi32,
        _mm256_loadu_si256,
        _mm256_storeu_si256,
        _mm256_xor_si256
    );
    wide!(
        avx512,
        "avx512f",
        __m512i,
        64,
        _mm512_set1_epi32,
        _mm512_loadu_si512,
        _mm512_storeu_si512,
        _mm512_xor_si512
    );
}
