//! Debian's libmodsecurity 3 as an oracle: a small C++ program is built beside the tests and asked over pipes.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;

/// The running program.
pub struct Oracle {
    child: Child,
    input: ChildStdin,
    output: ChildStdout,
}

/// Collection, key and value.
pub type Row = (String, Vec<u8>, Vec<u8>);

impl Oracle {
    /// Starts the program. `None` where the library is not installed, which under CI is an error.
    pub fn start() -> Option<Self> {
        static PROGRAM: OnceLock<Option<String>> = OnceLock::new();
        let program = PROGRAM.get_or_init(build).as_ref()?;
        let mut child = Command::new(program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("{program}: {e}"));
        let input = child.stdin.take().expect("a pipe");
        let output = child.stdout.take().expect("a pipe");
        Some(Self { child, input, output })
    }

    fn ask(&mut self, command: u8, a: &[u8], b: &[u8]) -> Vec<u8> {
        let mut frame = vec![command];
        for text in [a, b] {
            frame.extend_from_slice(&u32::try_from(text.len()).unwrap_or(0).to_le_bytes());
            frame.extend_from_slice(text);
        }
        self.input.write_all(&frame).expect("the oracle reads");
        self.input.flush().expect("the oracle reads");
        let mut length = [0; 4];
        self.output.read_exact(&mut length).expect("the oracle answers");
        let mut out = vec![0; u32::from_le_bytes(length) as usize];
        self.output.read_exact(&mut out).expect("the oracle answers");
        out
    }

    /// What a transformation makes of a value.
    pub fn transform(&mut self, name: &str, value: &[u8]) -> Vec<u8> {
        self.ask(b'T', name.as_bytes(), value)
    }

    /// Loads rules; panics with what is wrong with them.
    pub fn rules(&mut self, rules: &str) {
        let error = self.ask(b'R', rules.as_bytes(), b"");
        assert!(error.is_empty(), "{}\n{rules}", String::from_utf8_lossy(&error));
    }

    /// Ids of the rules that match a request with the header `x`.
    pub fn header(&mut self, value: &[u8]) -> Vec<u32> {
        let ids = self.ask(b'H', value, b"");
        let ids = String::from_utf8_lossy(&ids).into_owned();
        ids.split_ascii_whitespace().filter_map(|id| id.parse().ok()).collect()
    }

    /// What a body gives.
    pub fn body(&mut self, content_type: &[u8], body: &[u8]) -> Vec<Row> {
        let bytes = self.ask(b'B', content_type, body);
        let mut texts = Vec::new();
        let mut rest = bytes.as_slice();
        while let Some((length, after)) = rest.split_first_chunk::<4>() {
            let (text, after) = after.split_at(u32::from_le_bytes(*length) as usize);
            texts.push(text.to_vec());
            rest = after;
        }
        let (rows, _) = texts.as_chunks::<3>();
        let row = |[collection, key, value]: &[Vec<u8>; 3]| {
            (
                String::from_utf8_lossy(collection).into_owned(),
                key.clone(),
                value.clone(),
            )
        };
        rows.iter().map(row).collect()
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn build() -> Option<String> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle/modsecurity.cc");
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("modsecurity-oracle-{}", std::process::id()));
    let mut c = Command::new("c++");
    c.args(["-std=c++17", "-O1", "-o"])
        .arg(&program)
        .arg(&source)
        .arg("-lmodsecurity");
    let made = c.output();
    let ok = made.as_ref().is_ok_and(|o| o.status.success());
    if !ok {
        let why = match made {
            Ok(o) => String::from_utf8_lossy(&o.stderr).into_owned(),
            Err(e) => e.to_string(),
        };
        assert_ne!(
            std::env::var("CI").as_deref(),
            Ok("true"),
            "the oracle cannot be built; run: apt-get install -y --no-install-recommends g++ libmodsecurity-dev\n{why}"
        );
        return None;
    }
    Some(program.to_string_lossy().into_owned())
}

/// A small generator of chances, so that a failure comes again: splitmix64.
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % below.max(1) as u64).unwrap_or(0)
    }

    /// Pieces in a row, and now and then any byte.
    pub fn text(&mut self, pieces: &[&[u8]], most: usize) -> Vec<u8> {
        let mut out = Vec::new();
        for _ in 0..self.roll(most + 1) {
            match self.roll(12) {
                0 => out.push(u8::try_from(self.roll(256)).unwrap_or(0)),
                _ => out.extend_from_slice(pieces[self.roll(pieces.len())]),
            }
        }
        out
    }
}
