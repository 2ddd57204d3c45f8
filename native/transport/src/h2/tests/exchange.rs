use super::super::*;

fn pump(client: &mut Client, server: &mut Server, at_client: &mut Vec<Event>, at_server: &mut Vec<Event>) {
    for _ in 0..16 {
        client.poll(at_client).expect("client");
        let n = client.output().len();
        server.feed(client.output());
        client.sent(n);
        server.poll(at_server).expect("server");
        let m = server.output().len();
        client.feed(server.output());
        server.sent(m);
        if n + m == 0 {
            return;
        }
    }
}

fn get() -> http::request::Parts {
    http::Request::get("http://a.test/x?y=1")
        .body(())
        .expect("a request")
        .into_parts()
        .0
}

#[test]
fn a_request_is_answered_with_a_body() {
    let limits = Limits::default();
    let (mut client, mut server) = (Client::new(&limits), Server::new(&limits));
    let (mut c, mut s) = (Vec::new(), Vec::new());
    let stream = client.request(get(), true).expect("a stream");
    pump(&mut client, &mut server, &mut c, &mut s);
    let [
        Event::Request {
            stream: seen,
            parts,
            ended: true,
        },
    ] = &s[..]
    else {
        panic!("{s:?}")
    };
    assert_eq!((*seen, parts.uri.path()), (stream, "/x"));
    assert!(server.respond(stream, 200, HeaderMap::new(), false));
    assert_eq!(server.data(stream, b"hello", true), 5);
    pump(&mut client, &mut server, &mut c, &mut s);
    let [
        Event::Response {
            parts, ended: false, ..
        },
        Event::Data { bytes, ended: true, .. },
    ] = &c[..]
    else {
        panic!("{c:?}")
    };
    assert_eq!((parts.status.as_u16(), &bytes[..]), (200, &b"hello"[..]));
    client.release(stream, 5);
    assert_eq!((client.open_streams(), server.open_streams()), (0, 0));
}
