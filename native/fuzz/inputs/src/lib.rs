//! Runs fuzz targets without a fuzzer, so that a stable compiler is enough: seeds, what chance makes of them, and a word that decides chance. The same number of runs has the same
//! inputs on every machine; a fuzzer that sees coverage finds more, this finds what was broken lately.

mod chance;
mod change;

use std::panic::{AssertUnwindSafe, catch_unwind};

use chance::Chance;
use change::changed;

/// Longest input. Unit: bytes.
pub const INPUT_BYTES_MAX: usize = 4096;
/// Inputs that further ones are made from, beside the seeds.
const KEPT_MAX: usize = 256;

/// What is fed, and with what.
pub struct Target {
    /// As the fuzzer's target is called.
    pub name: &'static str,
    /// Panics when something does not hold.
    pub run: fn(&[u8]),
    /// Inputs to begin with.
    pub seeds: &'static [&'static [u8]],
    /// Pieces that mean something.
    pub words: &'static [&'static [u8]],
    /// How many inputs are a few seconds, without optimisation.
    pub runs: u64,
}

/// Environment variable: that many times as many runs.
pub const TIMES: &str = "CNX_FUZZ_TIMES";

/// How many times as many runs are wanted: 1 unless the environment says otherwise.
pub fn times() -> u64 {
    std::env::var(TIMES).map_or(1, |text| text.parse().expect("CNX_FUZZ_TIMES is a number"))
}

/// Runs a target over all of its seeds and then over what becomes of them. Panics with the input when the target does.
pub fn run(target: &Target, runs: u64) {
    let mut chance = Chance::new(target.name);
    let mut kept: Vec<Vec<u8>> = target.seeds.iter().map(|s| s.to_vec()).collect();
    for seed in target.seeds {
        feed(target, seed);
    }
    feed(target, b"");
    for _ in 0..runs {
        let input = changed(&kept, target.words, &mut chance);
        feed(target, &input);
        if kept.len() < target.seeds.len() + KEPT_MAX {
            kept.push(input);
        } else if chance.below(8) == 0 {
            // Seeds stay; what was made from them makes room.
            let place = target.seeds.len() + chance.below(KEPT_MAX);
            kept[place] = input;
        }
    }
}

/// Tests of the same names as a list of targets, and one that none is left out: `targets!(TARGETS: one two)`.
#[macro_export]
macro_rules! targets {
    ($list:path: $($name:ident)*) => {
        $(#[test]
        fn $name() {
            let target = $list.iter().find(|t| t.name == stringify!($name)).expect("a target of this name");
            $crate::run(target, target.runs * $crate::times());
        })*

        #[test]
        fn each_target_is_run() {
            let here = [$(stringify!($name)),*];
            assert_eq!($list.iter().map(|t| t.name).collect::<Vec<_>>(), here);
        }
    };
}

fn feed(target: &Target, input: &[u8]) {
    if catch_unwind(AssertUnwindSafe(|| (target.run)(input))).is_err() {
        panic!("{} fails on b\"{}\"", target.name, input.escape_ascii());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    thread_local! {
        static SEEN: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
    }

    const TARGET: Target = Target {
        name: "seen",
        run: |input| SEEN.with_borrow_mut(|seen| seen.push(input.to_vec())),
        seeds: &[b"one", b"another"],
        words: &[b"word"],
        runs: 0,
    };

    fn seen(runs: u64) -> Vec<Vec<u8>> {
        run(&TARGET, runs);
        SEEN.take()
    }

    #[test]
    fn inputs_are_the_same_each_time_begin_with_the_seeds_and_are_bounded() {
        let first = seen(2_000);
        assert_eq!(first, seen(2_000));
        assert_eq!(first[..3], [&b"one"[..], b"another", b""]);
        assert!(first.iter().all(|input| input.len() <= INPUT_BYTES_MAX));
        let different: std::collections::HashSet<_> = first.iter().collect();
        assert!(different.len() > 1_500, "{}", different.len());
        assert!(first.iter().any(|input| input.windows(4).any(|w| w == b"word")));
    }

    #[test]
    #[should_panic(expected = "fragile fails on b\"\\x00")]
    fn what_fails_is_told_with_its_input() {
        let fragile = Target {
            name: "fragile",
            run: |input| assert!(input.first() != Some(&0)),
            seeds: &[b"\0"],
            ..TARGET
        };
        run(&fragile, 1);
    }
}
