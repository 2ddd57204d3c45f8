//! What targets are fed with when there is no fuzzer. The first byte says where an input is cut, for those that are fed in pieces.

use cnx_fuzz_inputs::Target;

/// All of them.
pub const TARGETS: &[Target] = &[
    Target {
        name: "transport_request",
        run: crate::transport_request,
        seeds: &[
            b"\x00GET /a?b=c HTTP/1.1\r\nHost: a.test\r\nAccept: */*\r\n\r\n",
            b"\x05POST http://a.test:80/b HTTP/1.1\r\nHost: a.test:80\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\nabc",
            b"\x02POST / HTTP/1.1\r\nHost: [::1]\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive, x\r\nTE: trailers\r\n\r\n",
            b"\x01GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
        ],
        words: HEAD_WORDS,
        runs: 30_000,
    },
    Target {
        name: "transport_response",
        run: crate::transport_response,
        seeds: &[
            b"\x00HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Type: text/plain\r\n\r\nabc",
            b"\x03HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n",
            b"\x06HTTP/1.0 500 \r\nConnection: close\r\n\r\nx",
            b"\x02HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r\n\r\n0\r\n\r\n",
            b"\x04HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
        ],
        words: HEAD_WORDS,
        runs: 30_000,
    },
    Target {
        name: "transport_chunked",
        run: crate::transport_chunked,
        seeds: &[
            b"\x003\r\nabc\r\n10;a=\"b\"\r\n0123456789abcdef\r\n0\r\nA: b\r\n\r\n",
            b"\x0100000001\r\nx\r\n0\r\n\r\nGET",
            b"\x07fffffffffffffff0\r\n",
        ],
        words: &[b"\r\n", b"\n", b"0\r\n\r\n", b"0\r\n", b"1\r\na\r\n", b";", b"=\"", b"\"", b"Content-Length: 1\r\n", b"X: y\r\n", b" ", b"\t", b"F", b"-1", b"0x1", b"\0"],
        runs: 40_000,
    },
    Target {
        name: "transport_proxy",
        run: crate::transport_proxy,
        seeds: &[
            b"PROXY TCP4 192.0.2.1 192.0.2.2 1024 443\r\nGET",
            b"PROXY TCP6 2001:db8::1 ::1 65535 1\r\n",
            b"PROXY UNKNOWN anything\r\n",
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x01\xc0\x00\x02\x02\x04\x00\x01\xbb",
            b"\r\n\r\n\0\r\nQUIT\n\x21\x21\x00\x2c\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x02\x04\x00\x01\xbb\x02\x00\x05a.com",
            b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00",
        ],
        words: &[b"PROXY ", b"TCP4 ", b"TCP6 ", b"UNKNOWN", b" ", b"\r\n", b"\r\n\r\n\0\r\nQUIT\n", b"\x21", b"\x20", b"\x11", b"\x12", b"\x00\x0c", b"\x00\x24", b"\xff\xff", b"1.2.3.4", b"::", b"65536", b"00"],
        runs: 3_000,
    },
    Target {
        name: "transport_client_hello",
        run: crate::transport_client_hello,
        seeds: &[
            // A record with a hello of TLS 1.3: versions, one suite, a name, protocols.
            b"\x16\x03\x01\x00\x62\x01\x00\x00\x5e\x03\x030123456789abcdef0123456789abcdef\x00\x00\x02\x13\x01\x01\x00\x00\x33\x00\x00\x00\x0b\x00\x09\x00\x00\x06a.test\x00\x10\x00\x0e\x00\x0c\x02h2\x08http/1.1\x00\x2b\x00\x03\x02\x03\x04\x00\x0a\x00\x04\x00\x02\x00\x1d\x00\x0d\x00\x00",
            b"\x16\x03\x01\x00\x04\x01\x00\x00\x00",
            b"\x30\x0d\x30\x0b\x06\x03\x55\x04\x03\x0c\x04test",
        ],
        words: &[b"\x16\x03\x01", b"\x16\x03\x03", b"\x00\x00", b"\x00\x10", b"\x00\x2b", b"\x00\x0a", b"\x00\x33", b"\x03\x04", b"\x02h2", b"\x0a\x0a", b"\xff\xff", b"\x30\x82", b"\x06\x03\x55", b"\xa0\x03\x02\x01\x02", b"\x0c"],
        runs: 20_000,
    },
];

const HEAD_WORDS: &[&[u8]] = &[
    b"\r\n",
    b"\n",
    b"\r",
    b": ",
    b" :",
    b"\t",
    b" ",
    b"GET ",
    b"OPTIONS * ",
    b"CONNECT a:1 ",
    b" HTTP/1.1\r\n",
    b" HTTP/1.0\r\n",
    b"HTTP/2.0",
    b"Host: ",
    b"Content-Length: ",
    b"Content-Length: 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: gzip, chunked\r\n",
    b"Connection: close\r\n",
    b"Connection: upgrade\r\n",
    b"Upgrade: h2c\r\n",
    b"Expect: 100-continue\r\n",
    b"\0",
    b"\x80",
    b"%2f",
    b"//",
    b"/../",
    b"?",
    b"#",
    b"@",
    b"[::1]",
    b":443",
    b"100 Continue\r\n\r\n",
    b"204 ",
    b"+5",
    b"18446744073709551616",
];
