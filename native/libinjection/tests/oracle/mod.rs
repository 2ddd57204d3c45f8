//! Asks libinjection through a small program in C, which is compiled for the test.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

/// What it says of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The fingerprint when the value is SQL injection.
    pub fingerprint: Option<Vec<u8>>,
    /// The value is cross-site scripting.
    pub xss: bool,
}

const ANSWER_BYTES: usize = 10;

/// The answers for values; `None` where libmodsecurity is missing, which is a failure in CI.
pub fn ask(values: &[Vec<u8>]) -> Option<Vec<Answer>> {
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("libinjection-oracle");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle/oracle.c");
    let compiled = Command::new("cc")
        .args(["-O2", "-o"])
        .args([&program, &source])
        .arg("-lmodsecurity")
        .output();
    if let Err(why) = compiled.map_err(|e| e.to_string()).and_then(|out| {
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        if out.status.success() { Ok(()) } else { Err(said) }
    }) {
        let mend = "apt-get install -y --no-install-recommends gcc libmodsecurity-dev";
        assert_ne!(
            std::env::var("CI").as_deref(),
            Ok("true"),
            "libinjection cannot be asked; run: {mend}\n{why}"
        );
        println!("not compared with libinjection; run: {mend}");
        return None;
    }
    let mut child = Command::new(&program)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program was compiled");
    let (mut input, mut output) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
    let mut bytes = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for value in values {
                let head = u32::try_from(value.len()).expect("values are short").to_le_bytes();
                input
                    .write_all(&head)
                    .and_then(|()| input.write_all(value))
                    .expect("the program reads");
            }
        });
        output.read_to_end(&mut bytes).expect("the program answers");
    });
    assert!(child.wait().expect("the program ends").success());
    assert_eq!(bytes.len(), values.len() * ANSWER_BYTES);
    Some(bytes.chunks(ANSWER_BYTES).map(answer).collect())
}

fn answer(bytes: &[u8]) -> Answer {
    let print = bytes[2..].iter().copied().take_while(|b| *b != 0).collect();
    Answer {
        fingerprint: (bytes[0] == 1).then_some(print),
        xss: bytes[1] == 1,
    }
}
