//! Nanoseconds for a head: `cargo run --release -p cnx-transport --example head`. The best of several rounds, since other work on the machine only adds.

use std::hint::black_box;
use std::time::Instant;

use cnx_transport::http1::{Chunked, Parsed, Progress, RequestHead, ResponseHead, parse_request, parse_response};

const ROUNDS: usize = 15;
const TURNS: usize = 20_000;

fn best_ns(mut turn: impl FnMut()) -> f64 {
    (0..ROUNDS)
        .map(|_| {
            let begin = Instant::now();
            for _ in 0..TURNS {
                turn();
            }
            begin.elapsed().as_nanos() as f64 / TURNS as f64
        })
        .fold(f64::INFINITY, f64::min)
}

fn main() {
    let request = b"GET /api/v1/items/4711?sort=price&page=2 HTTP/1.1\r\nHost: shop.example.com\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36\r\nAccept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\nAccept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-GB,en;q=0.9,de;q=0.8\r\nConnection: keep-alive\r\nReferer: https://shop.example.com/\r\nCookie: session=0123456789abcdef; theme=dark\r\nCache-Control: max-age=0\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\nX-Request-Id: 5f0c-11\r\n\r\n";
    let response = b"HTTP/1.1 200 OK\r\nServer: origin\r\nDate: Sat, 21 Nov 2026 07:00:00 GMT\r\nContent-Type: application/json\r\nContent-Length: 1024\r\nConnection: keep-alive\r\nETag: \"abc\"\r\n\r\n";
    let chunked = [b"400\r\n".as_slice(), &[b'x'; 1024], b"\r\n0\r\n\r\n"].concat();

    let mut head = RequestHead::default();
    let mut bytes = request.to_vec();
    // Names as they come, each time: the second reading of a lowered head would be another one.
    let copy = best_ns(|| black_box(&mut bytes).copy_from_slice(request));
    let whole = best_ns(|| {
        bytes.copy_from_slice(request);
        let parsed = parse_request(black_box(&mut bytes), &mut Progress::default(), &mut head);
        assert!(matches!(parsed, Parsed::Done(_)));
    });
    let fields = head.fields.len();
    println!(
        "request, {} bytes, {fields} fields: {:.0} ns",
        request.len(),
        whole - copy
    );

    let halves = best_ns(|| {
        let mut progress = Progress::default();
        for end in [request.len() / 2, request.len()] {
            black_box(parse_request(black_box(&mut bytes[..end]), &mut progress, &mut head));
        }
    });
    println!("the same in two pieces: {halves:.0} ns");

    let mut head = ResponseHead::default();
    let mut bytes = response.to_vec();
    let whole = best_ns(|| {
        black_box(parse_response(
            black_box(&mut bytes),
            &mut Progress::default(),
            &mut head,
            false,
        ));
    });
    println!(
        "response, {} bytes, {} fields: {whole:.0} ns",
        response.len(),
        head.fields.len()
    );

    let mut decoder = Chunked::default();
    let body = best_ns(|| {
        decoder.reset();
        let mut count = 0;
        black_box(decoder.decode(black_box(&chunked), &mut |piece| count += piece.len())).expect("well-formed");
        black_box(count);
    });
    println!("chunked body, one chunk of 1024 bytes: {body:.0} ns");
}
