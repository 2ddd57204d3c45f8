//! Prints microseconds of a request and its answer over HTTP/2 in memory, both sides together and the server's part: `cargo run --release --example h2`.

use std::time::{Duration, Instant};

use cnx_transport::h2::{Client, Event, Limits, Server};
use http::{HeaderMap, HeaderValue, Request};

/// Requests that are measured.
const REQUESTS: usize = 400_000;

fn main() {
    println!("streams  body bytes  µs/request  of it the server  requests/s of the server");
    for (streams, bytes) in [(1, 0), (1, 1024), (10, 1024), (100, 1024), (100, 16 * 1024)] {
        let (all, server) = run(streams, bytes);
        let each = |time: Duration| time.as_secs_f64() * 1e6 / REQUESTS as f64;
        println!(
            "{streams:7}  {bytes:10}  {:10.2}  {:16.2}  {:24.0}",
            each(all),
            each(server),
            1e6 / each(server)
        );
    }
}

/// Time of all, and of the server's calls.
fn run(streams: usize, bytes: usize) -> (Duration, Duration) {
    let limits = Limits::default();
    let (mut client, mut server) = (Client::new(&limits), Server::new(&limits));
    let (mut at_client, mut at_server) = (Vec::new(), Vec::new());
    let body = vec![b'x'; bytes];
    let (mut begun, mut done) = (0, 0);
    let mut waiting: Vec<(u32, usize)> = Vec::new();
    let mut served = Duration::ZERO;
    let start = Instant::now();
    while done < REQUESTS {
        while begun < REQUESTS && client.open_streams() < streams && client.ready() {
            client.request(request(), true).expect("a stream");
            begun += 1;
        }
        client.poll(&mut at_client).expect("open");
        let entered = Instant::now();
        server.feed(client.output());
        client.sent(usize::MAX);
        server.poll(&mut at_server).expect("open");
        for event in at_server.drain(..) {
            match event {
                Event::Request { stream, .. } => {
                    server.respond(stream, 200, answer(), body.is_empty());
                    if !body.is_empty() {
                        waiting.push((stream, 0));
                    }
                }
                Event::Writable { stream } => {
                    if let Some(n) = waiting.iter().position(|(other, _)| *other == stream) {
                        let waiter = waiting.swap_remove(n);
                        waiting.push(waiter);
                    }
                }
                _ => {}
            }
        }
        waiting.retain_mut(|(stream, at)| {
            *at += server.data(*stream, &body[*at..], true);
            *at < body.len()
        });
        server.poll(&mut at_server).expect("open");
        served += entered.elapsed();
        client.feed(server.output());
        server.sent(usize::MAX);
        client.poll(&mut at_client).expect("open");
        for event in at_client.drain(..) {
            match event {
                Event::Response { ended: true, .. } => done += 1,
                Event::Data { stream, bytes, ended } => {
                    client.release(stream, bytes.len());
                    done += usize::from(ended);
                }
                _ => {}
            }
        }
    }
    (start.elapsed(), served)
}

fn request() -> http::request::Parts {
    Request::get("http://bench.test/api/orders?page=3")
        .header("user-agent", "bench/1.0 (a name of usual length; some remarks)")
        .header("accept", "*/*")
        .header("accept-encoding", "gzip, br")
        .header("cookie", "session=0123456789abcdef0123456789abcdef")
        .body(())
        .expect("a request")
        .into_parts()
        .0
}

fn answer() -> HeaderMap {
    let mut fields = HeaderMap::with_capacity(4);
    fields.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    fields.insert(http::header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    fields.insert(http::header::VARY, HeaderValue::from_static("accept"));
    fields
}
