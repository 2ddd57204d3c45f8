//! The frames of `../shared/data/h2-frame-test-case`: valid ones never end a connection but where their place is wrong, bad ones always are an error.

use std::fs;
use std::path::{Path, PathBuf};

use super::super::{Event, Limits};
use super::raw::*;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/h2-frame-test-case")
}

/// The hexadecimal text after `"wire":`.
fn wire(file: &Path) -> Vec<u8> {
    let text = fs::read_to_string(file).expect("a file");
    let rest = text.split("\"wire\"").nth(1).expect("a wire");
    let hex = rest.split('"').nth(1).expect("a string");
    (0..hex.len() / 2)
        .map(|n| u8::from_str_radix(&hex[n * 2..n * 2 + 2], 16).expect("hexadecimal"))
        .collect()
}

/// The codes of which one is to be told.
fn errors(file: &Path) -> Vec<u32> {
    let text = fs::read_to_string(file).expect("a file");
    let rest = text.split("\"error\"").nth(1).expect("errors");
    let list = rest.split(['[', ']']).nth(1).expect("a list");
    list.split(',')
        .map(|code| code.trim().parse().expect("a code"))
        .collect()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.retain(|path| path.is_dir() || path.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    files
}

/// What a server, with a request of stream 1 half-way there, says to a frame: whether it is over, and the codes of resets.
fn judge(bytes: &[u8], open: bool) -> (bool, Vec<u32>, Vec<Event>) {
    let mut peer = ToServer::new(&Limits::default());
    if open {
        peer.say(&post(1));
        peer.told();
    }
    let (said, closed) = peer.say(bytes);
    let codes = said
        .iter()
        .filter(|frame| matches!(frame.kind, RST_STREAM | GOAWAY))
        .map(Frame::code)
        .collect();
    (closed.is_some(), codes, peer.told())
}

#[test]
fn bad_frames_are_errors() {
    let mut seen = 0;
    for file in files(&folder().join("error")) {
        let bytes = wire(&file);
        for open in [false, true] {
            let (over, codes, _) = judge(&bytes, open);
            assert!(over || !codes.is_empty(), "{} {open}", file.display());
            let named = errors(&file);
            assert!(
                codes.iter().all(|code| named.contains(code)),
                "{} {codes:?}",
                file.display()
            );
        }
        // A client minds as much.
        let mut peer = ToClient::new(&Limits::default());
        peer.client
            .request(super::pair::head("POST", "/"), false)
            .expect("a stream");
        peer.say(&[]);
        let (said, closed) = peer.say(&bytes);
        assert!(
            closed.is_some() || said.iter().any(|frame| frame.kind == RST_STREAM),
            "{}",
            file.display()
        );
        seen += 1;
    }
    assert_eq!(seen, 22);
}

#[test]
fn valid_frames_are_none_where_they_may_stand() {
    let mut seen = 0;
    for kind in [
        "data",
        "goaway",
        "ping",
        "priority",
        "rst_stream",
        "settings",
        "window_update",
    ] {
        for file in files(&folder().join(kind)) {
            let mut bytes = wire(&file);
            let mut stream = u32::from_be_bytes(bytes[5..9].try_into().expect("four bytes"));
            if stream > 0 && stream % 2 == 0 {
                // Only a server may open it.
                stream += 1;
                bytes[5..9].copy_from_slice(&stream.to_be_bytes());
            }
            let mut peer = ToServer::new(&Limits::default());
            // Streams up to the one that the frame names are open.
            let opened: Vec<u8> = (0..=stream.max(1))
                .filter(|stream| stream % 2 == 1)
                .flat_map(post)
                .collect();
            assert_eq!(peer.say(&opened).1, None);
            let (said, closed) = peer.say(&bytes);
            let codes: Vec<u32> = said
                .iter()
                .filter(|frame| matches!(frame.kind, RST_STREAM | GOAWAY))
                .map(Frame::code)
                .collect();
            assert_eq!((closed, codes), (None, vec![]), "{}", file.display());
            seen += 1;
        }
    }
    assert!(seen >= 7);
}

#[test]
fn no_frame_at_any_cut_does_anything_but_be_taken_or_refused() {
    for kind in files(&folder()).into_iter().filter(|path| path.is_dir()) {
        for file in files(&kind) {
            let bytes = wire(&file);
            for cut in 0..=bytes.len() {
                let mut peer = ToServer::new(&Limits::default());
                peer.say(&bytes[..cut]);
                peer.say(&bytes[cut..]);
                peer.server.feed_end();
                assert!(peer.turn().1.is_some());
                assert_eq!(peer.server.open_streams(), 0);
            }
        }
    }
}
