use crate::http1::*;
use crate::layout::Fault;

fn decode(input: &[u8]) -> (Result<Decoded, Fault>, Vec<u8>, Vec<u8>) {
    let mut decoder = Chunked::default();
    let mut body = Vec::new();
    let result = decoder.decode(input, &mut |piece| body.extend_from_slice(piece));
    (result, body, decoder.trailers().to_vec())
}

#[test]
fn content_comes_out_and_what_follows_stays() {
    for (input, body, trailers) in [
        ("0\r\n\r\n", "", ""),
        ("5\r\nhello\r\n0\r\n\r\n", "hello", ""),
        ("0005\r\nhello\r\n6\r\n world\r\n000\r\n\r\n", "hello world", ""),
        (
            "A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n",
            "01234567890123456789",
            "",
        ),
        ("5;a=b;c;d=\"e \\\" ;f\"\r\nhello\r\n0;x\r\n\r\n", "hello", ""),
        ("5 ; a\t=\tb ;c\r\nhello\r\n0\r\n\r\n", "hello", ""),
        (
            "1\r\nx\r\n0\r\nX-Sum:  a b \t\r\nx-Two:\r\n\r\n",
            "x",
            "x-sum: a b\r\nx-two: \r\n",
        ),
        ("0\r\nContent-Length: 5\r\nX: 1\r\nHost: evil\r\n\r\n", "", "x: 1\r\n"),
        (
            "0\r\nContent_Length: 5\r\nTransfer-Encoding: x\r\nX-Forwarded-For: y\r\nProxy-A: b\r\nIf-Match: c\r\n\r\n",
            "",
            "",
        ),
    ] {
        let whole = format!("{input}GET / HTTP/1.1\r\n");
        let (result, content, lines) = decode(whole.as_bytes());
        assert_eq!(
            result,
            Ok(Decoded {
                consumed: input.len(),
                done: true
            }),
            "{input:?}"
        );
        assert_eq!(
            (content.as_slice(), lines.as_slice()),
            (body.as_bytes(), trailers.as_bytes()),
            "{input:?}"
        );
    }
}

#[test]
fn what_is_malformed_is_refused_by_the_byte_that_shows_it() {
    use Fault::*;
    for (input, fault) in [
        ("\r", BadFraming),
        (" ", BadFraming),
        ("+", BadFraming),
        ("-", BadFraming),
        (";", BadFraming),
        ("g", BadFraming),
        ("0x", BadFraming),
        ("5_", BadFraming),
        ("5\n", BadFraming),
        ("5\rh", BadFraming),
        ("5 \r", BadFraming),
        ("5\t\r", BadFraming),
        ("5 5", BadFraming),
        ("5;\r", BadFraming),
        ("5;\n", BadFraming),
        ("5;a\n", BadFraming),
        ("5;a[", BadFraming),
        ("5;=", BadFraming),
        ("5;a=\r", BadFraming),
        ("5;a=\"b\r", BadFraming),
        ("5;a=\"b\n", BadFraming),
        ("5;a=\"b\\\r", BadFraming),
        ("5;a=\"b\"c", BadFraming),
        ("5;a \r", BadFraming),
        ("5;a=b \r", BadFraming),
        ("5;a b", BadFraming),
        ("5;a=b c", BadFraming),
        ("5;a=b=", BadFraming),
        ("5;a\0", BadFraming),
        ("5;;", BadFraming),
        ("5\r\nhellox", BadFraming),
        ("5\r\nhello\n", BadFraming),
        ("5\r\nhello\rx", BadFraming),
        ("5\r\nhello0", BadFraming),
        ("5\r\nhello\r\n\r", BadFraming),
        ("20000000000000", BadFraming),
        ("00000000000000000", BadFraming),
        ("ffffffffffffff", BadFraming),
        ("0\r\n\rx", BadHeader),
        ("0\r\n\n", BadHeader),
        ("0\r\n:", BadHeader),
        ("0\r\n ", BadHeader),
        ("0\r\nX ", BadHeader),
        ("0\r\nX\r", BadHeader),
        ("0\r\nX\n", BadHeader),
        ("0\r\nX: a\n", BadHeader),
        ("0\r\nX: a\rb", BadHeader),
        ("0\r\nX: \0", BadHeader),
        ("0\r\nX: \u{7f}", BadHeader),
        ("0\r\nX: a\r\n ", BadHeader),
        ("0\r\nX: a\r\n\t", BadHeader),
    ] {
        assert_eq!(decode(input.as_bytes()).0, Err(fault), "{input:?}");
        let before = &input.as_bytes()[..input.len() - 1];
        assert_eq!(
            decode(before).0,
            Ok(Decoded {
                consumed: before.len(),
                done: false
            }),
            "{input:?}"
        );
    }
}

#[test]
fn sizes_extensions_and_trailers_are_bounded() {
    assert_eq!(
        decode(b"1fffffffffffff\r\nx").0,
        Ok(Decoded {
            consumed: 17,
            done: false
        })
    );
    assert_eq!(
        decode(b"0000000000000000\r\n\r\n").0,
        Ok(Decoded {
            consumed: 20,
            done: true
        })
    );
    // Over all chunks of a message: many small ones are as bad as a large one.
    let chunk = |n: usize| format!("1;{}\r\nx\r\n", "a".repeat(n - 1));
    let at_most = EXTENSION_BYTES_MAX as usize;
    assert!(decode(chunk(at_most - 1).as_bytes()).0.is_ok());
    assert_eq!(decode(chunk(at_most + 1).as_bytes()).0, Err(Fault::BadFraming));
    assert_eq!(
        decode(chunk(2).repeat(at_most / 2 + 1).as_bytes()).0,
        Err(Fault::BadFraming)
    );
    let trailers = |n: usize| format!("0\r\n{}\r\n", "host: a\r\n".repeat(n));
    assert!(decode(trailers(TRAILERS_MAX as usize).as_bytes()).0.is_ok());
    assert_eq!(
        decode(trailers(TRAILERS_MAX as usize + 1).as_bytes()).0,
        Err(Fault::HeadTooLarge)
    );
    assert_eq!(
        decode(format!("0\r\nx: {}", "a".repeat(TRAILER_BYTES_MAX)).as_bytes()).0,
        Err(Fault::HeadTooLarge)
    );
    assert_eq!(
        decode(format!("0\r\n{}:", "a".repeat(NAME_BYTES_MAX + 1)).as_bytes()).0,
        Err(Fault::HeadTooLarge)
    );
}

#[test]
fn a_decoder_that_was_reset_is_as_new() {
    let mut decoder = Chunked::default();
    let mut read = |input: &[u8]| {
        decoder.reset();
        let mut body = Vec::new();
        let result = decoder.decode(input, &mut |piece| body.extend_from_slice(piece));
        (result, body, decoder.trailers().to_vec())
    };
    let input = b"3;a\r\nabc\r\n0\r\nx: 1\r\n\r\n";
    assert!(read(b"5;b\r\nhel").0.is_ok());
    assert_eq!(read(input), decode(input));
    assert!(read(b"x").0.is_err());
    assert_eq!(read(input), decode(input));
}

#[test]
fn a_prefix_says_the_length_in_hexadecimal() {
    let prefix = |len: usize| {
        let mut out = [0; 10];
        let n = chunk_prefix(len, &mut out);
        String::from_utf8_lossy(&out[..n]).into_owned()
    };
    for len in [
        0,
        1,
        9,
        15,
        16,
        26,
        255,
        256,
        4095,
        65_536,
        0x00ab_cdef,
        u32::MAX as usize,
    ] {
        assert_eq!(prefix(len), format!("{len:x}\r\n"));
    }
    assert_eq!(prefix(u32::MAX as usize + 1), "");
}
