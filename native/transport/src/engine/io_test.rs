use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use super::*;
use crate::tls::testing::{authority, client_of, client_plan, plan_of, server_of};

/// Two ends between which every send stays a message of its own.
fn ends() -> (Io, OwnedFd) {
    let (ours, theirs) = socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::NONBLOCK | SocketFlags::CLOEXEC,
        None,
    )
    .expect("a pair of sockets");
    let mut io = Io::new(ours, None);
    io.writable = true;
    (io, theirs)
}

/// What was sent, send by send; the end is an empty one.
fn sent(to: &OwnedFd) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    let mut room = vec![0; 64 * 1024];
    while let Ok((n, _)) = rustix::net::recv(to, &mut room[..], RecvFlags::empty()) {
        all.push(room[..n].to_vec());
        if n == 0 {
            break;
        }
    }
    all
}

#[test]
fn what_is_followed_at_once_is_one_send_with_it() {
    let (mut io, peer) = ends();
    io.queue(b"head ");
    assert!(io.write_before(b"first ", b"") && io.write_before(b"second ", b"third "));
    assert!(sent(&peer).is_empty());
    io.queue(b"end");
    assert!(io.flush());
    assert_eq!(sent(&peer), [b"head first second third end"]);
    // What is long does not wait, and is not copied.
    io.queue(b"head ");
    assert!(io.write_before(&[b'x'; COPIED_BYTES_MAX], b"\r\n"));
    assert_eq!(io.pending(), 0);
    let all = sent(&peer);
    assert_eq!(all.len(), 1);
    assert_eq!(all[0].len(), 5 + COPIED_BYTES_MAX + 2);
}

/// A client and what serves it, before their first word.
fn secure() -> (Session, Io, OwnedFd) {
    let authority = authority("root");
    let server = server_of(&plan_of(&[&authority.issue(&["a.example"])]));
    let client = Session::client(&client_of(&client_plan(&authority)), "a.example").expect("a client");
    let (mut io, peer) = ends();
    io.tls = Some(Box::new(Session::server(&server)));
    (client, io, peer)
}

/// All that the client has to say, in one message; then what a read of it gives.
fn say(client: &mut Session, io: &mut Io, peer: &OwnedFd) -> Got {
    let mut out = Vec::new();
    while client.wants_send() {
        client.send(&mut out).expect("memory");
    }
    rustix::net::send(peer, &out, SendFlags::NOSIGNAL).expect("a send");
    io.readable = true;
    io.read(&mut [0; 4096])
}

#[test]
fn tickets_and_goodbye_of_tls_go_with_the_answer() {
    let (mut client, mut io, peer) = secure();
    assert_eq!(say(&mut client, &mut io, &peer), Got::Wait);
    let flight = sent(&peer).concat();
    client.receive(&mut flight.as_slice()).expect("the server's flight");
    assert!(!client.handshaking());
    // Its last words of the handshake, and what it asks for, at once.
    assert_eq!(client.write(b"asked"), 5);
    assert_eq!(say(&mut client, &mut io, &peer), Got::Bytes(5));
    assert!(sent(&peer).is_empty(), "the tickets wait for the answer");
    assert!(io.write_before(b"answered", b""));
    io.ends();
    assert!(io.flush());
    assert_eq!(io.pending(), 0);
    let answer = sent(&peer);
    assert_eq!(answer.len(), 1);
    client
        .receive(&mut answer[0].as_slice())
        .expect("tickets, answer, goodbye");
    assert_eq!(client.read(&mut [0; 4096]).expect("the answer"), 8);
    assert!(client.closed_cleanly());
    io.shut_down();
    assert_eq!(sent(&peer), [b""], "an end, and no second goodbye");
}

#[test]
fn tickets_do_not_wait_for_a_client_that_asks_nothing_yet() {
    let (mut client, mut io, peer) = secure();
    for handshaking in [true, false] {
        assert_eq!(say(&mut client, &mut io, &peer), Got::Wait);
        assert_eq!(io.tls.as_ref().expect("a session").handshaking(), handshaking);
        let said = sent(&peer).concat();
        assert!(!said.is_empty(), "{handshaking}");
        client.receive(&mut said.as_slice()).expect("what the server says");
    }
}
