//! `cssDecode`.

use crate::bytes::{hex, hex_pair, is_space};

/// `\` with one to six hexadecimal digits and one optional white space; `\` before a line feed vanishes; `\` before
/// anything else vanishes too.
pub fn decode(input: &[u8], out: &mut Vec<u8>) {
    let mut i = 0;
    while i < input.len() {
        if input[i] != b'\\' {
            out.push(input[i]);
            i += 1;
            continue;
        }
        i += 1;
        let digits = input[i..].iter().take(6).take_while(|b| hex(**b).is_some()).count();
        if digits > 0 {
            out.push(byte_of(&input[i..i + digits]));
            i += digits;
            if input.get(i).is_some_and(|b| is_space(*b)) {
                i += 1;
            }
        } else if input.get(i) == Some(&b'\n') {
            i += 1;
        } else if let Some(b) = input.get(i) {
            out.push(*b);
            i += 1;
        }
    }
}

fn byte_of(digits: &[u8]) -> u8 {
    let n = digits.len();
    let low = match n {
        1 => hex(digits[0]).unwrap_or(0),
        _ => hex_pair(digits, n - 2).unwrap_or(0),
    };
    // Full-width forms, written with four digits or with leading zeros.
    let wide = n >= 4 && hex_pair(digits, n - 4) == Some(0xff) && digits[..n - 4].iter().all(|d| *d == b'0');
    if wide && low > 0 && low < 0x5f { low + 0x20 } else { low }
}
