//! A request costs no heap allocation once the thread has seen its like: counted, with the whole Core Rule Set.
#![allow(unsafe_code, reason = "an allocator that counts can only be written so")]

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use cnx_waf::engine::{KEPT_BYTES_MAX, Transaction};
use cnx_waf::profile::{Profile, ProfileOptions};
use cnx_waf::seclang::setting::EngineMode;
use cnx_waf::wire::{Request, Response, pack_outcome, pack_request, pack_response};
use common::{Gateway, crs};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: everything is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are the system's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { System.realloc(at, layout, size) }
    }
}

fn count() {
    // A thread that ends has nothing left to count.
    let _ = ALLOCATIONS.try_with(|n| n.set(n.get() + 1));
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Ordinary requests whose values differ from one number to the next.
fn requests(n: usize) -> Vec<Vec<u8>> {
    let agent = b"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
    let session = format!("sid=f3a9{n:04}; theme=dark; cart={n:03}");
    let head: Vec<(&[u8], &[u8])> = vec![
        (b"host", b"shop.example"),
        (b"user-agent", agent),
        (b"accept", b"text/html,*/*;q=0.8"),
        (b"cookie", session.as_bytes()),
    ];
    let post = |kind: &'static [u8], body: String| {
        let length = body.len().to_string();
        let mut fields = head.clone();
        fields.push((b"content-type", kind));
        fields.push((b"content-length", length.as_bytes()));
        pack_request(b"POST", b"/orders", b"HTTP/1.1", b"192.0.2.1", &fields, body.as_bytes())
    };
    let target = format!(
        "/catalog/shoes?page={:04}&sort=price&q=running+shoes+{:04}",
        n % 9999,
        n * 7 % 9999
    );
    vec![
        pack_request(b"GET", target.as_bytes(), b"HTTP/1.1", b"192.0.2.1", &head, b""),
        post(
            b"application/json",
            format!("{{\"name\":\"Anna {n:04}\",\"items\":[{{\"sku\":\"A-{n:04}\",\"count\":2}}]}}"),
        ),
        post(
            b"application/x-www-form-urlencoded",
            format!("name=Anna+{n:04}&city=Ulm&note=as+soon+as+possible%2C+{n:04}"),
        ),
    ]
}

#[test]
fn a_request_and_its_answer_allocate_nothing_once_the_thread_is_warm() {
    let Some(mut files) = crs() else { return };
    files.insert(0, ("a.conf".into(), b"SecResponseBodyAccess On\n".to_vec()));
    let g = Gateway::new(&files);
    let options = ProfileOptions {
        mode: Some(EngineMode::On),
        answers: true,
        ..ProfileOptions::default()
    };
    let profile = Profile::new(g.profile.program.clone(), &options).unwrap_or_else(|p| panic!("{}", p.message));
    let (mut asked, mut answered) = (Transaction::default(), Transaction::default());
    let mut verdict = vec![0; 64 * 1024];
    let mut kept = vec![0; KEPT_BYTES_MAX];
    let answer = pack_response(
        200,
        b"HTTP/1.1",
        &[(b"content-type", b"text/html")],
        b"<p>As ordered.</p>",
        0,
    );
    let response = Response::unpack(&answer).unwrap();
    let mut run = |from: usize, to: usize| {
        let packed: Vec<Vec<Vec<u8>>> = (from..to).map(requests).collect();
        let mut counts = 0;
        for one in packed.iter().flatten() {
            let request = Request::unpack(one).unwrap();
            let before = ALLOCATIONS.get();
            let outcome = asked.inspect(&profile, &request);
            pack_outcome(&outcome, &asked, &mut verdict);
            let n = asked.keep(&profile, &mut kept).unwrap_or(0);
            let last = answered.respond(&profile, &kept[..n], &response);
            pack_outcome(&last, &answered, &mut verdict);
            counts += ALLOCATIONS.get() - before;
            assert!(n > 0 && n < 4096, "{n} bytes are kept");
            assert_eq!(outcome.blocking_rule + last.blocking_rule, 0);
        }
        counts
    };
    let warm = run(0, 500);
    assert!(warm > 0, "the allocator counts");
    assert_eq!(run(500, 1_000), 0, "allocations in 1,500 requests and answers");
}
