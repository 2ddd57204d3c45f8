//! Clients and upstreams: blocking sockets in threads, with bounded times.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use crate::driver::PATIENCE;

/// Reads messages off a connection.
pub struct Wire {
    pub stream: TcpStream,
    ahead: Vec<u8>,
}

#[derive(Debug)]
pub struct Message {
    /// First line and fields, in lower case but for the first line.
    pub head: String,
    pub body: Vec<u8>,
    /// Lines after a chunked body.
    pub trailers: String,
    /// The body was whole.
    pub whole: bool,
}

impl Message {
    pub fn status(&self) -> u16 {
        self.head.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0)
    }

    pub fn has(&self, line: &str) -> bool {
        self.head.lines().any(|l| l == line)
    }

    /// The head of the answer that agrees to a WebSocket.
    fn switched(&self) -> String {
        let accept = cnx_transport::http1::accept_of(self.value("sec-websocket-key").unwrap_or_default().as_bytes());
        let accept = String::from_utf8_lossy(&accept);
        format!("HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {accept}\r\n\r\n")
    }

    pub fn path(&self) -> &str {
        self.head.split(' ').nth(1).unwrap_or_default()
    }

    fn value(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(": "))
    }
}

impl Wire {
    pub fn new(stream: TcpStream) -> Wire {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Wire {
            stream,
            ahead: Vec::new(),
        }
    }

    pub fn to(port: u16) -> Wire {
        Wire::new(TcpStream::connect(("127.0.0.1", port)).unwrap())
    }

    pub fn send(&mut self, text: impl AsRef<[u8]>) -> &mut Wire {
        // A peer that has closed shows in what is read.
        let _ = self.stream.write_all(text.as_ref());
        self
    }

    /// More bytes; false at the end.
    fn more(&mut self) -> bool {
        let mut room = [0; 16 * 1024];
        loop {
            match self.stream.read(&mut room) {
                Ok(n) if n > 0 => {
                    self.ahead.extend_from_slice(&room[..n]);
                    return true;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                _ => return false,
            }
        }
    }

    pub fn line(&mut self) -> Option<String> {
        loop {
            if let Some(n) = self.ahead.windows(2).position(|w| w == b"\r\n") {
                let line: Vec<u8> = self.ahead.drain(..n + 2).collect();
                return Some(String::from_utf8_lossy(&line[..n]).into_owned());
            }
            if !self.more() {
                return None;
            }
        }
    }

    /// A head: first line and fields.
    pub fn head(&mut self) -> Option<Message> {
        let mut head = self.line()?;
        loop {
            let line = self.line()?;
            if line.is_empty() {
                break;
            }
            head.push('\n');
            head.push_str(&line);
        }
        Some(Message {
            head,
            body: Vec::new(),
            trailers: String::new(),
            whole: false,
        })
    }

    fn take(&mut self, n: usize, into: &mut Vec<u8>) -> bool {
        while self.ahead.len() < n {
            if !self.more() {
                into.append(&mut self.ahead);
                return false;
            }
        }
        into.extend(self.ahead.drain(..n));
        true
    }

    pub fn body(&mut self, message: &mut Message, until_close: bool) {
        if message.has("transfer-encoding: chunked") {
            loop {
                let Some(size) = self.line().and_then(|l| usize::from_str_radix(&l, 16).ok()) else {
                    return;
                };
                if size == 0 {
                    break;
                }
                if !self.take(size, &mut message.body) || self.line().as_deref() != Some("") {
                    return;
                }
            }
            while let Some(line) = self.line() {
                if line.is_empty() {
                    message.whole = true;
                    return;
                }
                message.trailers.push_str(&line);
                message.trailers.push('\n');
            }
        } else if let Some(n) = message.value("content-length") {
            let n = n.parse().unwrap();
            message.whole = self.take(n, &mut message.body);
        } else if until_close {
            while self.more() {}
            message.body = std::mem::take(&mut self.ahead);
            message.whole = true;
        } else {
            message.whole = true;
        }
    }

    /// A whole request; none at the end.
    pub fn request(&mut self) -> Option<Message> {
        let mut message = self.head()?;
        self.body(&mut message, false);
        Some(message)
    }

    /// The next answer.
    pub fn answer(&mut self) -> Option<Message> {
        let mut message = self.head()?;
        let status = message.status();
        if status >= 200 && status != 204 && status != 304 {
            self.body(&mut message, true);
        } else {
            message.whole = true;
        }
        Some(message)
    }

    /// An answer to HEAD.
    pub fn bare(&mut self) -> Option<Message> {
        self.head()
    }

    /// Nothing more comes, and the peer has closed.
    pub fn ended(&mut self) -> bool {
        self.ahead.is_empty() && !self.more() && self.ahead.is_empty()
    }

    pub fn half_close(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    pub fn exactly(&mut self, n: usize) -> Vec<u8> {
        let mut out = Vec::new();
        self.take(n, &mut out);
        out
    }
}

/// A server that serves each connection in a thread of its own. It goes with the test's process.
pub struct Upstream {
    pub address: SocketAddr,
    /// Connections that it has accepted, and those that it is still serving.
    pub accepted: Arc<AtomicUsize>,
    pub open: Arc<AtomicUsize>,
}

pub fn upstream(serve: impl Fn(Wire, usize) + Send + Sync + 'static) -> Upstream {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (accepted, open) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
    let serve = Arc::new(serve);
    std::thread::spawn({
        let (accepted, open) = (accepted.clone(), open.clone());
        move || {
            for stream in listener.incoming().flatten() {
                let number = accepted.fetch_add(1, SeqCst);
                open.fetch_add(1, SeqCst);
                let (serve, open) = (serve.clone(), open.clone());
                std::thread::spawn(move || {
                    serve(Wire::new(stream), number);
                    open.fetch_sub(1, SeqCst);
                });
            }
        }
    });
    Upstream {
        address,
        accepted,
        open,
    }
}

/// A server that does what the last parts of the path say.
pub fn obedient() -> Upstream {
    upstream(|mut wire, _| {
        while let Some(mut request) = wire.head() {
            let path = request.path().to_owned();
            let parts: Vec<&str> = path.split('/').skip(2).collect();
            let number = parts.get(1).and_then(|n| n.parse::<usize>().ok()).unwrap_or(0);
            if parts.first() == Some(&"early") {
                wire.send("HTTP/1.1 413 X\r\nconnection: close\r\ncontent-length: 5\r\n\r\nearly");
                return;
            }
            if request.has("expect: 100-continue") && parts.first() != Some(&"noexpect") {
                wire.send("HTTP/1.1 100 Continue\r\n\r\n");
            }
            wire.body(&mut request, false);
            let to_head = request.head.starts_with("HEAD ");
            match parts.first().copied().unwrap_or_default() {
                "len" => {
                    wire.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {number}\r\n\r\n"));
                    // In pieces: tests that look at the memory of this process run beside others.
                    let mut left = if to_head { 0 } else { number };
                    while left > 0 {
                        let n = left.min(256 * 1024);
                        if wire.stream.write_all(&vec![b'x'; n]).is_err() {
                            return;
                        }
                        left -= n;
                    }
                }
                "chunk" => {
                    wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n");
                    for _ in 0..number {
                        wire.send("3\r\nabc\r\n");
                    }
                    wire.send("0\r\nX-Sum: 9\r\nContent-Length: 7\r\n\r\n");
                }
                // Its Connection nominates a trailer.
                "hop" => {
                    wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: X-Sum\r\n\r\n");
                    wire.send("3\r\nabc\r\n0\r\nX-Sum: 9\r\n\r\n");
                }
                "until" => {
                    wire.send("HTTP/1.1 200 OK\r\n\r\n").send(vec![b'u'; number]);
                    return;
                }
                "close" => {
                    wire.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
                    return;
                }
                "none" => {
                    wire.send(format!("HTTP/1.1 {number} \r\n\r\n"));
                }
                "hints" => {
                    wire.send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 \r\n\r\n");
                    wire.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
                }
                // Goes on until nobody takes it any more.
                "trickle" => {
                    wire.send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
                    for _ in 0..1000 {
                        if wire.stream.write_all(b"x").is_err() {
                            break;
                        }
                        std::thread::sleep(std::time::Duration::from_millis(20));
                    }
                    return;
                }
                "cut" => {
                    wire.send("HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nhalf");
                    return;
                }
                "extra" => {
                    wire.send("HTTP/1.1 204 No\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
                }
                "gone" => return,
                "never" => {
                    wire.ended();
                    return;
                }
                "garbage" => {
                    wire.send("SSH-2.0-x\r\n\r\n");
                    return;
                }
                "two" => {
                    wire.send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx");
                }
                // Much, and the end at once.
                "pour" => {
                    wire.send(request.switched());
                    wire.send(vec![b'p'; number]);
                    return;
                }
                // Counts what comes until its end.
                "drink" => {
                    wire.send(request.switched());
                    let count = wire.exactly(usize::MAX).len();
                    wire.send(count.to_string());
                    return;
                }
                "up" => {
                    wire.send(request.switched() + "hello");
                    let got = wire.exactly(4);
                    wire.send(got);
                    if number == 1 {
                        return;
                    }
                    assert!(wire.ended());
                    wire.send("bye");
                    return;
                }
                // What arrived: its body, and how it was framed.
                _ => {
                    let framing = if request.has("transfer-encoding: chunked") {
                        "chunked"
                    } else {
                        "length"
                    };
                    let head = format!(
                        "HTTP/1.1 200 OK\r\nX-Framing: {framing}\r\nX-Whole: {}\r\nX-Trailers: {}\r\nContent-Length: {}\r\n\r\n",
                        request.whole,
                        request.trailers.trim(),
                        request.body.len()
                    );
                    wire.send(head).send(if to_head { Vec::new() } else { request.body });
                }
            }
        }
    })
}
