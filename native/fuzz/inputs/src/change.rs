//! What chance makes of an input: bytes that change, pieces that come, go, move and repeat, words that mean something.

use std::ops::Range;

use crate::INPUT_BYTES_MAX;
use crate::chance::Chance;

/// Most changes of one input.
const CHANGES_MAX: usize = 8;
/// Longest piece that goes or repeats. Unit: bytes.
const PIECE_BYTES_MAX: usize = 64;
/// Bytes at which readers turn.
const TURNS: &[u8] = b"\0\t\n\r \"#%&'()*+,-./:;<=>?@[\\]^_`{|}~0179AZaz\x7f\x80\xc0\xe2\xf0\xff";

/// One of these inputs, changed.
pub fn changed(inputs: &[Vec<u8>], words: &[&[u8]], chance: &mut Chance) -> Vec<u8> {
    let mut input = chance.one(inputs).clone();
    for _ in 0..=chance.below(CHANGES_MAX) {
        change(&mut input, inputs, words, chance);
        input.truncate(INPUT_BYTES_MAX);
    }
    input
}

fn change(input: &mut Vec<u8>, inputs: &[Vec<u8>], words: &[&[u8]], chance: &mut Chance) {
    let place = chance.below(input.len() + 1);
    match chance.below(9) {
        0 => {
            if let Some(byte) = input.get_mut(place) {
                *byte ^= 1 << chance.below(8);
            }
        }
        1 => {
            let turn = *chance.one(TURNS);
            if let Some(byte) = input.get_mut(place) {
                *byte = turn;
            }
        }
        2 => input.insert(place, *chance.one(TURNS)),
        3 | 4 if !words.is_empty() => {
            let word = *chance.one(words);
            input.splice(place..place, word.iter().copied());
        }
        5 => drop(input.drain(piece(input, chance))),
        6 => {
            let copy = input[piece(input, chance)].to_vec();
            for _ in 0..=chance.below(4) {
                input.splice(place..place, copy.iter().copied());
            }
        }
        7 => {
            let other = chance.one(inputs);
            input.truncate(place);
            input.extend_from_slice(&other[chance.below(other.len() + 1)..]);
        }
        _ => input.truncate(place),
    }
}

fn piece(input: &[u8], chance: &mut Chance) -> Range<usize> {
    let from = chance.below(input.len() + 1);
    from..(from + chance.below(PIECE_BYTES_MAX)).min(input.len())
}
