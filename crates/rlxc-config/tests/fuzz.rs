//! A short run of the fuzz target's promises over its corpus and over mutations of it, from a fixed
//! seed; `RLXC_FUZZ_ROUNDS` makes it longer. `cargo xtask fuzz` runs the target itself.
#![allow(clippy::unwrap_used)]

use std::path::Path;

#[path = "../../../fuzz/body.rs"]
mod body;

/// xorshift64*.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % n.max(1)
    }
}

fn corpus() -> Vec<Vec<u8>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/config");
    let mut paths: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    paths
        .iter()
        .map(|path| std::fs::read(path).unwrap())
        .collect()
}

/// A few lines of the corpus, in part with bytes removed, doubled or replaced.
fn mutation(random: &mut Random, lines: &[&[u8]]) -> Vec<u8> {
    let mut text = Vec::new();
    for _ in 0..1 + random.below(12) {
        text.extend_from_slice(lines[random.below(lines.len())]);
        text.push(b'\n');
    }
    let bytes = b"\n\r\0#=. \t'\"\\:/,x0\xff\xc3-";
    for _ in 0..random.below(6) {
        let at = random.below(text.len());
        match random.below(4) {
            0 => {
                text.remove(at);
            }
            1 => text.insert(at, bytes[random.below(bytes.len())]),
            2 => text[at] = bytes[random.below(bytes.len())],
            _ => {
                let end = (at + random.below(20)).min(text.len());
                let part = text[at..end].to_vec();
                let to = random.below(text.len());
                text.splice(to..to, part);
            }
        }
        if text.is_empty() {
            break;
        }
    }
    text
}

#[test]
fn the_promises_hold_for_the_corpus_and_what_is_like_it() {
    let corpus = corpus();
    assert!(corpus.len() > 15);
    corpus.iter().for_each(|text| body::run(text));
    let lines: Vec<&[u8]> = corpus
        .iter()
        .flat_map(|text| text.split(|byte| *byte == b'\n'))
        .collect();
    let rounds = std::env::var("RLXC_FUZZ_ROUNDS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(1500);
    let mut random = Random(0x6c78_6373_6675_7a7a);
    for _ in 0..rounds {
        let text = mutation(&mut random, &lines);
        let outcome = std::panic::catch_unwind(|| body::run(&text));
        if outcome.is_err() {
            panic!("for {:?}", String::from_utf8_lossy(&text));
        }
    }
}
