//! Binding of cnx-transport: one engine in a thread, hung into the thread's loop (`lane`), as JavaScript drives it.
//! See `src/native/transport.ts` for what JavaScript sees.

mod compression;
mod inherited;
mod lane;
mod node;
mod plans;
mod uv;

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use cnx_transport::engine::options::{EndpointPlan, ListenPlan};
use cnx_transport::engine::{Engine, Pages};
use cnx_transport::tls::Facts;
use napi::bindgen_prelude::{Buffer, Function, Int32Array, Result, Uint8Array};
use napi::{Env, Error, Status};
use napi_derive::napi;

use self::compression::{TransportCompressed, TransportCompression};
use self::lane::Lane;
use self::node::{Callback, EndHook};
use self::plans::{TransportEndpoint, TransportListener, TransportOptions, TransportTls};
use self::uv::{Driven, Watch};

/// Period of the engine's deadlines, ms.
const TICK_MS: u64 = 100;
/// What is known of a connection through its TLS handshake.
#[napi(object)]
pub struct TransportFacts {
    pub version: String,
    pub cipher: String,
    pub group: String,
    pub alpn: String,
    pub server_name: String,
    pub ja4: String,
    pub resumed: bool,
    pub client_subject: Option<String>,
    pub client_names: Option<Vec<String>>,
    pub client_fingerprint: Option<String>,
}

impl TransportFacts {
    fn of((facts, alpn): (Facts, Vec<u8>)) -> Self {
        let client = facts.client;
        Self {
            version: facts.version.into(),
            cipher: facts.cipher,
            group: facts.group,
            alpn: String::from_utf8_lossy(&alpn).into_owned(),
            server_name: facts.server_name.unwrap_or_default(),
            ja4: facts.ja4,
            resumed: facts.resumed,
            client_fingerprint: client.as_ref().map(|client| client.fingerprint()),
            client_names: client.as_ref().map(|client| client.sans.clone()),
            client_subject: client.map(|client| client.subject),
        }
    }
}

#[napi]
pub struct TransportEngine {
    lane: Rc<Lane>,
}

#[napi]
impl TransportEngine {
    #[napi(constructor)]
    pub fn new(env: Env, options: TransportOptions, on_turn: Function<'_, u32, ()>) -> Result<Self> {
        let listed = (options.exchanges_max as usize).next_multiple_of(cnx_transport::layout::CHUNK_SLOTS) + 1;
        let internal_row = i32::try_from(options.internal_row).unwrap_or(i32::MAX);
        let (bounds, refusals) = options.split()?;
        let engine = Engine::new(bounds, refusals).map_err(|error| Error::from_reason(error.to_string()))?;
        let fd = engine.epoll_fd();
        let uv = node::event_loop(&env)?;
        let on_turn = Callback::new(&env, &on_turn)?;
        let lane = Rc::new(Lane::new(engine, listed, on_turn, internal_row));
        *lane.hook.borrow_mut() = Some(EndHook::add(&env, Rc::clone(&lane))?);
        #[allow(unsafe_code)]
        // SAFETY: the loop of the running call; the hook keeps the thread until the watch is closed, and `closed` drops the engine only then.
        let watch = unsafe { Watch::start(uv, fd, TICK_MS, Rc::clone(&lane)) };
        match watch {
            Ok(watch) => *lane.watch.borrow_mut() = Some(watch),
            Err(call) => {
                lane.closed();
                return Err(Error::from_reason(format!(
                    "{call} failed: the engine cannot be watched"
                )));
            }
        }
        Ok(Self { lane })
    }

    #[napi]
    pub fn verdicts(&self) -> Int32Array {
        let held = Arc::clone(&self.lane.verdicts);
        let (data, length) = (held.as_ptr().cast_mut().cast::<i32>(), held.len());
        #[allow(unsafe_code)]
        // SAFETY: so many words that live as long as `held`, which the finaliser drops; here they are used only through atomics.
        unsafe {
            Int32Array::with_external_data(data, length, move |_, _| drop(held))
        }
    }

    #[napi]
    pub fn events(&self) -> Result<Uint8Array> {
        let pages = self.lane.with(|engine| engine.events().0);
        pages.map(shown).ok_or_else(closed)
    }

    #[napi]
    pub fn chunk(&self, number: u32) -> Result<Uint8Array> {
        let pages = self.lane.with(|engine| engine.chunk(number as usize)).flatten();
        pages.map(shown).ok_or_else(closed)
    }

    #[napi]
    pub fn listen(&self, plan: TransportListener) -> Result<u16> {
        let address = plan
            .address
            .parse::<IpAddr>()
            .map_err(|error| Error::from_reason(format!("{} is no address ({error})", plan.address)))?;
        let tls = plan.tls.map(|tls| plans::server(tls, plan.http2)).transpose()?;
        let share = plan.inherited;
        let plan = ListenPlan {
            number: plan.number,
            address: SocketAddr::new(address, plan.port),
            tls,
            http2: plan.http2,
            proxy_from: plans::networks(&plan.proxy_from)?,
        };
        let wanted = share.unwrap_or(0) as usize;
        let port = if wanted == 0 {
            self.lane.with(|engine| engine.listen(plan)).ok_or_else(closed)?
        } else {
            let sockets = inherited::take(plan.address, wanted);
            if sockets.len() < wanted {
                return Err(Error::from_reason("fewer sockets were inherited than were promised"));
            }
            let last = |engine: &mut Engine| {
                let mut sockets = sockets.into_iter();
                sockets.try_fold(0, |_, socket| engine.inherit(plan.clone(), socket))
            };
            self.lane.with(last).ok_or_else(closed)?
        };
        if let Some(watch) = &*self.lane.watch.borrow() {
            watch.hold(true);
        }
        port.map_err(|error| Error::from_reason(error.to_string()))
    }

    #[napi]
    pub fn send_listeners(&self, path: String) -> Result<u32> {
        let sent = self.lane.with(|engine| engine.send_listeners(Path::new(&path)));
        let sent = sent
            .ok_or_else(closed)?
            .map_err(|error| Error::from_reason(error.to_string()))?;
        Ok(u32::try_from(sent).unwrap_or(u32::MAX))
    }

    #[napi]
    pub fn set_tls(&self, number: u32, http2: bool, tls: TransportTls) -> Result<()> {
        let tls = plans::server(tls, http2)?;
        self.lane.with(|engine| engine.set_tls(number, tls)).ok_or_else(closed)
    }

    #[napi]
    pub fn endpoint(&self, plan: TransportEndpoint) -> Result<u32> {
        let tls = plan.tls.map(|tls| plans::client(tls, plan.http2)).transpose()?;
        let plan = EndpointPlan {
            tls,
            connections_max: plan.connections_max,
            waiting_max: plan.waiting_max,
            http2: plan.http2,
        };
        self.lane.with(|engine| engine.endpoint(plan)).ok_or_else(closed)
    }

    #[napi]
    pub fn set_addresses(&self, endpoint: u32, addresses: Vec<String>) -> Result<()> {
        let parsed: std::result::Result<Vec<SocketAddr>, _> = addresses.iter().map(|a| a.parse()).collect();
        let parsed = parsed.map_err(|_| Error::new(Status::InvalidArg, "an address and port is expected"))?;
        self.lane.with(|engine| engine.set_addresses(endpoint, &parsed));
        self.lane.look_again();
        Ok(())
    }

    #[napi]
    pub fn set_compression(&self, number: u32, plan: TransportCompression) -> Result<()> {
        let plan = plan.plan()?;
        let known = self
            .lane
            .with(|engine| engine.set_compression(number, plan))
            .ok_or_else(closed)?;
        known
            .then_some(())
            .ok_or_else(|| Error::new(Status::InvalidArg, format!("{number} is no number of a plan")))
    }

    #[napi]
    pub fn compressed(&self) -> TransportCompressed {
        self.lane.with(|engine| engine.compressed()).unwrap_or_default().into()
    }

    #[napi]
    pub fn drop_endpoint(&self, endpoint: u32) {
        self.lane.with(|engine| engine.drop_endpoint(endpoint));
        self.lane.look_again();
    }

    #[napi]
    pub fn inspect(&self, slot: u32, generation: i32, limit: u32) -> i32 {
        let state = self.lane.with(|engine| {
            let state = engine.inspect(slot, generation, limit);
            inspected(state, engine.body(slot))
        });
        if !self.lane.turning.get() {
            self.lane.look_again();
        }
        state.unwrap_or(0)
    }

    /// What the last attempt failed of, beyond the reason that was told.
    #[napi]
    pub fn failure(&self, slot: u32) -> String {
        self.lane
            .with(|engine| engine.failure(slot).to_owned())
            .unwrap_or_default()
    }

    #[napi]
    pub fn lend(&self, slot: u32) -> f64 {
        number(self.lane.with(|engine| engine.lend(slot)))
    }

    #[napi]
    pub fn lend_answer(&self, slot: u32) -> f64 {
        number(self.lane.with(|engine| engine.lend_answer(slot)))
    }

    #[napi]
    pub fn body(&self, slot: u32) -> Buffer {
        self.lane
            .with(|engine| engine.body(slot).to_vec())
            .unwrap_or_default()
            .into()
    }

    #[napi]
    pub fn inspect_answer(&self, slot: u32, generation: i32, limit: u32) -> i32 {
        let state = self.lane.with(|engine| {
            let state = engine.inspect_answer(slot, generation, limit);
            inspected(state, engine.answer_body(slot))
        });
        if !self.lane.turning.get() {
            self.lane.look_again();
        }
        state.unwrap_or(0)
    }

    #[napi]
    pub fn answer_body(&self, slot: u32) -> Buffer {
        self.lane
            .with(|engine| engine.answer_body(slot).to_vec())
            .unwrap_or_default()
            .into()
    }

    #[napi]
    pub fn set_answer(&self, slot: u32, body: &[u8]) {
        self.lane.with(|engine| engine.set_answer(slot, body));
    }

    #[napi]
    pub fn keep(&self, body: &[u8]) -> u32 {
        self.lane.with(|engine| engine.keep(body)).unwrap_or_default()
    }

    #[napi]
    pub fn keep_answer(&self, slot: u32) -> u32 {
        self.lane.with(|engine| engine.keep_answer(slot)).unwrap_or_default()
    }

    #[napi]
    pub fn kept_bytes(&self, number: u32) -> f64 {
        self.lane.with(|engine| engine.kept_bytes(number)).unwrap_or_default() as f64
    }

    #[napi]
    pub fn let_go(&self, number: u32) {
        self.lane.with(|engine| engine.let_go(number));
    }

    #[napi]
    pub fn set_kept(&self, slot: u32, number: u32, from: u32, to: u32) -> bool {
        let set = self
            .lane
            .with(|engine| engine.set_kept(slot, number, from as usize, to as usize));
        set.unwrap_or_default()
    }

    #[napi]
    pub fn facts(&self, slot: u32) -> Option<TransportFacts> {
        let facts = self.lane.with(|engine| engine.facts(slot)).flatten();
        facts.map(TransportFacts::of)
    }

    #[napi]
    pub fn flush(&self) {
        // Within a turn the turn does it.
        if !self.lane.turning.get() {
            self.lane.apply();
            self.lane.look_again();
        }
    }

    #[napi]
    pub fn set_shed(&self, share: f64) {
        self.lane.with(|engine| engine.set_shed(share));
    }

    #[napi]
    pub fn take_shed(&self) -> f64 {
        self.lane.with(Engine::take_shed).unwrap_or(0) as f64
    }

    /// The least time since the last call that a request that is ready waited to be read, ms; 0: there is no queue of requests; -1: nothing is known yet.
    #[napi]
    pub fn waited_ms(&self) -> f64 {
        let waited = self.lane.with(Engine::waited).flatten();
        waited.map_or(-1.0, |waited| waited.as_secs_f64() * 1000.0)
    }

    #[napi]
    pub fn open_connections(&self) -> u32 {
        let open = self.lane.with(|engine| engine.open_connections());
        open.map_or(0, |n| u32::try_from(n).unwrap_or(u32::MAX))
    }

    #[napi]
    pub fn leaving(&self) -> u32 {
        let leaving = self.lane.with(|engine| engine.leaving());
        leaving.map_or(0, |n| u32::try_from(n).unwrap_or(u32::MAX))
    }

    #[napi]
    pub fn drain(&self) {
        self.lane.with(Engine::drain);
        self.lane.look_again();
    }

    #[napi]
    pub fn close(&self) -> u32 {
        self.lane.mute.set(true);
        self.lane.with(Engine::close);
        self.lane.leave_loop();
        self.lane.heard.get() as u32
    }

    #[napi]
    pub fn last_events(&self) -> u32 {
        let count = self.lane.with(|engine| {
            engine.poll();
            engine.event_count()
        });
        count.unwrap_or(0) as u32
    }

    #[napi]
    pub fn told(&self) {
        self.lane.with(Engine::told);
    }
}

/// What `inspect` says in its three low bits, above them how many bytes are there.
fn inspected(state: i32, body: &[u8]) -> i32 {
    const BYTES_MAX: usize = (1 << 28) - 1;
    state | (body.len().min(BYTES_MAX) as i32) << 3
}

/// The number of a body that was lent; 0: none. Numbers count bodies: a double holds them for ages.
fn number(lent: Option<Option<u64>>) -> f64 {
    lent.flatten().unwrap_or(0) as f64
}

/// Memory of the engine for JavaScript. It lives as long as any view of it.
fn shown(pages: Arc<Pages>) -> Uint8Array {
    let (data, bytes) = (pages.at(), pages.bytes());
    #[allow(unsafe_code)]
    // SAFETY: the pages live as long as the finaliser holds them; the engine holds no reference into them while JavaScript runs.
    unsafe {
        Uint8Array::with_external_data(data, bytes, move |_, _| drop(pages))
    }
}

fn closed() -> Error {
    Error::from_reason("the transport was closed")
}
