//! Binding of cnx-waf: a process-wide registry of compiled rule sets and profiles, and per-thread memory to run them.
//! See `src/native/waf.ts` for what JavaScript sees.

mod memory;
mod options;

use std::cell::RefCell;
use std::collections::HashMap;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use cnx_waf::engine::{Outcome, Transaction, Verdict, Wanted};
use cnx_waf::profile::{Profile, ProfileOptions};
use cnx_waf::program::Program;
use cnx_waf::program::compile::{CompileOptions, SourceFile, compile_with};
use cnx_waf::seclang::diagnostic::to_json;
use cnx_waf::seclang::setting::EngineMode;
use cnx_waf::seclang::setting::LimitAction;
use cnx_waf::seclang::variable::Var;
use cnx_waf::wire::{Request, Response, VERDICT_HEAD_BYTES, pack_outcome};
use napi::bindgen_prelude::{Error, Result, Uint8Array, Uint8ArraySlice};
use napi_derive::napi;

use memory::{HeadMemory, Shared};
use options::{
    WafAnswerStats, WafCompileOptions, WafFile, WafProfileOptions, WafRule, WafStats, exclusion, expressions_of,
};

/// Most rule sets and profiles alive at once, together.
const HANDLES_MAX: usize = 65_536;
/// Most requests of one batch.
const BATCH_MAX: usize = 4096;
/// Most bytes of a memory that a thread shares with its JavaScript.
const MEMORY_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Most memories of heads of one thread.
const HEAD_MEMORIES_MAX: usize = 4096;
/// Bytes that a verdict of a batch may take.
const BATCH_VERDICT_BYTES: usize = 4096;

struct Compiled {
    program: Arc<Program>,
    source_bytes: f64,
    load_ms: f64,
}

#[derive(Default)]
struct Registry {
    next: u32,
    programs: HashMap<u32, Compiled>,
    profiles: HashMap<u32, (u32, Arc<Profile>)>,
}

impl Registry {
    /// A number that was never given before; none after four billion.
    fn handle(&mut self) -> Result<u32> {
        if self.programs.len() + self.profiles.len() >= HANDLES_MAX {
            return Err(Error::from_reason(format!(
                "more than {HANDLES_MAX} rule sets and profiles: release those of old snapshots"
            )));
        }
        self.next = self
            .next
            .checked_add(1)
            .ok_or_else(|| Error::from_reason("no handle is left"))?;
        Ok(self.next)
    }
}

static REGISTRY: OnceLock<RwLock<Registry>> = OnceLock::new();
/// Grows with every release, so that threads forget what they hold of released rule sets.
static EPOCH: AtomicU64 = AtomicU64::new(0);

fn registry() -> &'static RwLock<Registry> {
    REGISTRY.get_or_init(RwLock::default)
}

/// What one thread holds.
#[derive(Default)]
struct Lane {
    epoch: u64,
    /// Few, the newest last.
    profiles: Vec<(u32, u32, Arc<Profile>)>,
    request: Option<Arc<Shared>>,
    verdict: Option<Arc<Shared>>,
    kept: Option<Arc<Shared>>,
    heads: Vec<HeadMemory>,
    /// Scratch memory for each rule set, by its serial number: expressions keep their caches warm.
    transactions: Vec<(u64, Box<Transaction>)>,
    /// Likewise for answers: what is known of the values of requests stays warm.
    answers: Vec<(u64, Box<Transaction>)>,
}

thread_local! {
    static LANE: RefCell<Lane> = RefCell::default();
}

impl Lane {
    fn profile(&mut self, program: u32, handle: u32) -> Option<Arc<Profile>> {
        let epoch = EPOCH.load(Ordering::Acquire);
        if self.epoch != epoch {
            self.epoch = epoch;
            let registry = registry().read().unwrap_or_else(PoisonError::into_inner);
            self.profiles.retain(|(h, ..)| registry.profiles.contains_key(h));
            let live: Vec<u64> = registry.programs.values().map(|c| c.program.serial).collect();
            self.transactions.retain(|(serial, _)| live.contains(serial));
            self.answers.retain(|(serial, _)| live.contains(serial));
        }
        if let Some((_, owner, profile)) = self.profiles.iter().rev().find(|(h, ..)| *h == handle) {
            return (*owner == program).then(|| Arc::clone(profile));
        }
        let registry = registry().read().unwrap_or_else(PoisonError::into_inner);
        let (owner, profile) = registry.profiles.get(&handle)?;
        self.profiles.push((handle, *owner, Arc::clone(profile)));
        (*owner == program).then(|| Arc::clone(profile))
    }

    /// Writes down what the answer of the request that was inspected last needs; -1 when it cannot.
    fn keep(&mut self, program: u32, handle: u32, out: &mut [u8]) -> i32 {
        let Some(profile) = self.profile(program, handle) else {
            return -1;
        };
        let serial = profile.program.serial;
        let found = self.transactions.iter_mut().find(|(s, _)| *s == serial);
        let kept = found.and_then(|(_, transaction)| transaction.keep(&profile, out));
        kept.and_then(|n| i32::try_from(n).ok()).unwrap_or(-1)
    }

    fn respond(&mut self, program: u32, handle: u32, kept: &[u8], response: &[u8], out: &mut [u8]) -> Verdict {
        let (Some(profile), Ok(response)) = (self.profile(program, handle), Response::unpack(response)) else {
            return failed(out);
        };
        run(&mut self.answers, profile.program.serial, out, |transaction| {
            transaction.respond(&profile, kept, &response)
        })
    }

    fn inspect(&mut self, program: u32, handle: u32, request: &[u8], out: &mut [u8]) -> Verdict {
        match Request::unpack(request) {
            Ok(request) => self.inspect_unpacked(program, handle, &request, out),
            Err(_) => failed(out),
        }
    }

    fn inspect_unpacked(&mut self, program: u32, handle: u32, request: &Request<'_>, out: &mut [u8]) -> Verdict {
        let Some(profile) = self.profile(program, handle) else {
            return failed(out);
        };
        run(&mut self.transactions, profile.program.serial, out, |transaction| {
            transaction.inspect(&profile, request)
        })
    }
}

/// The scratch memory of a rule set.
fn transaction_of(list: &mut Vec<(u64, Box<Transaction>)>, serial: u64) -> &mut Transaction {
    let at = match list.iter().position(|(s, _)| *s == serial) {
        Some(at) => at,
        None => {
            list.push((serial, Box::default()));
            list.len() - 1
        }
    };
    &mut list[at].1
}

/// Runs a transaction and packs its verdict. What a panic left behind is thrown away.
fn run(
    list: &mut Vec<(u64, Box<Transaction>)>,
    serial: u64,
    out: &mut [u8],
    inspect: impl FnOnce(&mut Transaction) -> Outcome,
) -> Verdict {
    let transaction = transaction_of(list, serial);
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let outcome = inspect(transaction);
        pack_outcome(&outcome, transaction, out);
        outcome.verdict
    }));
    outcome.unwrap_or_else(|_| {
        list.retain(|(s, _)| *s != serial);
        failed(out)
    })
}

fn failed(out: &mut [u8]) -> Verdict {
    let outcome = Outcome {
        verdict: Verdict::Error,
        ..Outcome::default()
    };
    pack_outcome(&outcome, &Transaction::default(), out);
    Verdict::Error
}

#[napi]
pub fn waf_compile(files: Vec<WafFile>, options: Option<WafCompileOptions>) -> Result<u32> {
    let begin = std::time::Instant::now();
    let sources: Vec<SourceFile<'_>> = files
        .iter()
        .map(|f| SourceFile {
            name: &f.name,
            content: &f.bytes,
        })
        .collect();
    let (multi_line, rules, lists) = options.map_or((None, None, None), |o| (o.multi_line, o.expressions, o.lists));
    let expressions = expressions_of(rules.unwrap_or_default(), lists.unwrap_or_default())?;
    let options = CompileOptions {
        multi_line: multi_line.unwrap_or(false),
    };
    let program = catch_unwind(AssertUnwindSafe(|| compile_with(&sources, &expressions, options)))
        .map_err(|_| Error::from_reason("the rules could not be compiled: the compiler failed"))?
        .map_err(|list| Error::from_reason(to_json(&list)))?;
    let source_bytes = files.iter().map(|f| f.bytes.len()).sum::<usize>() as f64;
    let load_ms = begin.elapsed().as_secs_f64() * 1000.0;
    let mut registry = registry().write().unwrap_or_else(PoisonError::into_inner);
    let handle = registry.handle()?;
    registry.programs.insert(
        handle,
        Compiled {
            program: Arc::new(program),
            source_bytes,
            load_ms,
        },
    );
    Ok(handle)
}

#[napi]
pub fn waf_profile(handle: u32, options: WafProfileOptions) -> Result<u32> {
    let mut registry = registry().write().unwrap_or_else(PoisonError::into_inner);
    let program = registry.programs.get(&handle).map(|c| Arc::clone(&c.program));
    let program = program.ok_or_else(|| Error::from_reason("the rule set was released"))?;
    let mode = match options.mode.as_deref() {
        None => None,
        Some("detect") => Some(EngineMode::DetectionOnly),
        Some("block") => Some(EngineMode::On),
        Some("off") => Some(EngineMode::Off),
        Some(other) => {
            return Err(Error::from_reason(format!(
                "{other} is no mode: write off, detect or block"
            )));
        }
    };
    let work_max = match options.work_max {
        None => None,
        Some(n) if (1.0..=9e15).contains(&n) => Some(n as u64),
        Some(_) => return Err(Error::from_reason("workMax is not a positive number")),
    };
    let profile = Profile::new(
        program,
        &ProfileOptions {
            mode,
            work_max,
            answers: options.answers.unwrap_or(false),
            exclusions: options
                .exclusions
                .unwrap_or_default()
                .into_iter()
                .map(exclusion)
                .collect::<Result<_>>()?,
            variables: options
                .variables
                .unwrap_or_default()
                .into_iter()
                .map(|v| (v.name, v.value))
                .collect(),
            local_rules: options.local_rules.unwrap_or_default(),
        },
    )
    .map_err(|p| Error::from_reason(format!("{}; {}", p.message, p.mend)))?;
    let id = registry.handle()?;
    registry.profiles.insert(id, (handle, Arc::new(profile)));
    Ok(id)
}

#[napi]
pub fn waf_rules(handle: u32) -> Result<Vec<WafRule>> {
    let registry = registry().read().unwrap_or_else(PoisonError::into_inner);
    let compiled = registry.programs.get(&handle);
    let compiled = compiled.ok_or_else(|| Error::from_reason("the rule set was released"))?;
    let phases = compiled.program.phases.iter().zip(1..);
    let rules = phases.flat_map(|(phase, n)| phase.rules.iter().map(move |r| (n, r)));
    Ok(rules
        .map(|(phase, r)| WafRule {
            id: r.id,
            phase,
            severity: u32::from(r.severity),
            file: r.place.file.to_string(),
            line: r.place.line,
            message: r.message_text.clone(),
            tags: r.tags.clone(),
            log: r.log,
        })
        .collect())
}

#[napi]
pub fn waf_release(handle: u32) -> bool {
    let mut registry = registry().write().unwrap_or_else(PoisonError::into_inner);
    let found = registry.programs.remove(&handle).is_some();
    if found {
        registry.profiles.retain(|_, (owner, _)| *owner != handle);
        EPOCH.fetch_add(1, Ordering::Release);
    }
    found
}

#[napi]
pub fn waf_inspect(handle: u32, profile: u32, request: &[u8], length: u32, mut out: Uint8ArraySlice<'_>) -> u32 {
    if out.len() < VERDICT_HEAD_BYTES || overlap(request, &out) {
        return Verdict::Error as u32;
    }
    // SAFETY: JavaScript runs nothing while this call lasts, and no other view of these bytes is alive here.
    let out = unsafe { out.as_mut() };
    let Some(request) = request.get(..length as usize) else {
        return failed(out) as u32;
    };
    LANE.with(|lane| match lane.try_borrow_mut() {
        Ok(mut lane) => lane.inspect(handle, profile, request, out) as u32,
        Err(_) => failed(out) as u32,
    })
}

#[napi]
pub fn waf_keep(handle: u32, profile: u32, mut out: Uint8ArraySlice<'_>) -> i32 {
    // SAFETY: as in `waf_inspect`.
    let out = unsafe { out.as_mut() };
    LANE.with(|lane| match lane.try_borrow_mut() {
        Ok(mut lane) => lane.keep(handle, profile, out),
        Err(_) => -1,
    })
}

#[napi]
pub fn waf_keep_memory(handle: u32, profile: u32) -> i32 {
    LANE.with(|lane| {
        let Ok(mut lane) = lane.try_borrow_mut() else { return -1 };
        let Some(kept) = lane.kept.clone() else { return -1 };
        // SAFETY: an allocation of this thread, alive in this clone; its JavaScript runs nothing while this call lasts.
        let out = unsafe { std::slice::from_raw_parts_mut(kept.0.as_ptr().cast_mut().cast::<u8>(), kept.0.len()) };
        lane.keep(handle, profile, out)
    })
}

#[napi]
pub fn waf_inspect_response(
    handle: u32,
    profile: u32,
    kept: &[u8],
    response: &[u8],
    length: u32,
    mut out: Uint8ArraySlice<'_>,
) -> u32 {
    if out.len() < VERDICT_HEAD_BYTES || overlap(response, &out) || overlap(kept, &out) {
        return Verdict::Error as u32;
    }
    // SAFETY: as in `waf_inspect`.
    let out = unsafe { out.as_mut() };
    let Some(response) = response.get(..length as usize) else {
        return failed(out) as u32;
    };
    LANE.with(|lane| match lane.try_borrow_mut() {
        Ok(mut lane) => lane.respond(handle, profile, kept, response, out) as u32,
        Err(_) => failed(out) as u32,
    })
}

#[napi]
pub fn waf_inspect_response_memory(handle: u32, profile: u32, kept_length: u32, length: u32) -> u32 {
    in_memory(length, |lane, response, out| {
        let Some(kept) = lane.kept.clone().filter(|k| kept_length as usize <= k.0.len()) else {
            return failed(out);
        };
        // SAFETY: as in `in_memory`; the third allocation of this thread.
        let kept = unsafe { std::slice::from_raw_parts(kept.0.as_ptr().cast::<u8>(), kept_length as usize) };
        lane.respond(handle, profile, kept, response, out)
    })
}

#[napi]
pub fn waf_trace(handle: u32, profile: u32, request: &[u8], response: Option<&[u8]>) -> Result<String> {
    let malformed = |_| Error::from_reason("the packed request or answer is malformed");
    let request = Request::unpack(request).map_err(malformed)?;
    let response = response.map(Response::unpack).transpose().map_err(malformed)?;
    LANE.with(|lane| {
        let mut lane = lane
            .try_borrow_mut()
            .map_err(|_| Error::from_reason("the engine is busy"))?;
        let profile = lane
            .profile(handle, profile)
            .ok_or_else(|| Error::from_reason("the rule set was released"))?;
        let serial = profile.program.serial;
        let transaction = transaction_of(&mut lane.transactions, serial);
        catch_unwind(AssertUnwindSafe(|| {
            transaction.trace(&profile, &request, response.as_ref())
        }))
        .map_err(|_| {
            lane.transactions.retain(|(s, _)| *s != serial);
            Error::from_reason("the engine failed")
        })
    })
}

#[napi]
pub fn waf_kept_memory(bytes: u32) -> Result<Uint8Array> {
    memory(bytes, |lane| &mut lane.kept)
}

#[napi]
pub fn waf_request_memory(bytes: u32) -> Result<Uint8Array> {
    memory(bytes, |lane| &mut lane.request)
}

#[napi]
pub fn waf_verdict_memory(bytes: u32) -> Result<Uint8Array> {
    memory(bytes, |lane| &mut lane.verdict)
}

fn memory(bytes: u32, place: impl FnOnce(&mut Lane) -> &mut Option<Arc<Shared>>) -> Result<Uint8Array> {
    if bytes as usize > MEMORY_BYTES_MAX {
        return Err(Error::from_reason(format!("more than {MEMORY_BYTES_MAX} bytes")));
    }
    let shared = Shared::new(bytes as usize);
    let view = shared.view();
    LANE.with_borrow_mut(|lane| *place(lane) = Some(shared));
    Ok(view)
}

#[napi]
pub fn waf_inspect_memory(handle: u32, profile: u32, length: u32) -> u32 {
    in_memory(length, |lane, request, out| lane.inspect(handle, profile, request, out))
}

/// Runs `inspect` on this thread's two memories.
fn in_memory(length: u32, inspect: impl FnOnce(&mut Lane, &[u8], &mut [u8]) -> Verdict) -> u32 {
    LANE.with(|lane| {
        let Ok(mut lane) = lane.try_borrow_mut() else {
            return Verdict::Error as u32;
        };
        let (Some(request), Some(verdict)) = (lane.request.clone(), lane.verdict.clone()) else {
            return Verdict::Error as u32;
        };
        if length as usize > request.0.len() || verdict.0.len() < VERDICT_HEAD_BYTES {
            return Verdict::Error as u32;
        }
        // SAFETY: two allocations of this thread, alive in these clones; its JavaScript runs nothing while this call lasts.
        let (request, out) = unsafe {
            (
                std::slice::from_raw_parts(request.0.as_ptr().cast::<u8>(), length as usize),
                std::slice::from_raw_parts_mut(verdict.0.as_ptr().cast_mut().cast::<u8>(), verdict.0.len()),
            )
        };
        inspect(&mut lane, request, out) as u32
    })
}

#[napi]
pub fn waf_head_memory(memory: Uint8Array, stride: u32, count_at: u32, fields_at: u32, head_at: u32) -> i32 {
    let [stride, count_at, fields_at, head_at] = [stride, count_at, fields_at, head_at].map(|n| n as usize);
    LANE.with_borrow_mut(|lane| {
        let number = lane.heads.len();
        if number >= HEAD_MEMORIES_MAX || stride == 0 || count_at >= stride || fields_at > head_at || head_at > stride {
            return -1;
        }
        lane.heads.push(HeadMemory {
            memory: ManuallyDrop::new(memory),
            stride,
            count_at,
            fields_at,
            head_at,
        });
        i32::try_from(number).unwrap_or(-1)
    })
}

#[napi]
pub fn waf_inspect_head(handle: u32, profile: u32, length: u32, memory: u32, place: u32) -> u32 {
    in_memory(length, |lane, request, out| {
        let heads = std::mem::take(&mut lane.heads);
        let found = heads.get(memory as usize).and_then(|h| h.fields(place as usize));
        let request = Request::unpack(request).ok().zip(found);
        let verdict = match request.map(|(request, fields)| request.with_fields(fields)) {
            Some(Ok(request)) => lane.inspect_unpacked(handle, profile, &request, out),
            _ => failed(out),
        };
        lane.heads = heads;
        verdict
    })
}

#[napi]
pub fn waf_inspect_batch(handle: u32, profile: u32, requests: &[u8], length: u32, mut out: Uint8ArraySlice<'_>) -> i32 {
    let Some(mut rest) = requests.get(..length as usize) else {
        return -1;
    };
    if overlap(requests, &out) {
        return -1;
    }
    // SAFETY: as in `waf_inspect`.
    let out = unsafe { out.as_mut() };
    let Some(count) = take_u32(&mut rest).filter(|n| *n as usize <= BATCH_MAX) else {
        return -1;
    };
    let Some(head) = out.get_mut(..4) else { return -1 };
    head.copy_from_slice(&count.to_le_bytes());
    let mut at = 4;
    let mut room = [0u8; BATCH_VERDICT_BYTES];
    let mut kept_room = [0u8; BATCH_VERDICT_BYTES];
    for _ in 0..count {
        let Some(size) = take_u32(&mut rest) else { return -1 };
        let Some(request) = rest.get(..size as usize) else {
            return -1;
        };
        rest = &rest[size as usize..];
        let kept = LANE.with(|lane| match lane.try_borrow_mut() {
            Ok(mut lane) => {
                lane.inspect(handle, profile, request, &mut room);
                if room[30] == Wanted::Nothing as u8 {
                    0
                } else {
                    // What cannot be kept is missing behind a verdict that asks for the answer.
                    usize::try_from(lane.keep(handle, profile, &mut kept_room)).unwrap_or(0)
                }
            }
            Err(_) => {
                failed(&mut room);
                0
            }
        });
        let used = u32::from_le_bytes([room[24], room[25], room[26], room[27]]) as usize;
        let Some(to) = out.get_mut(at..at + 4 + used + kept) else {
            return -1;
        };
        to[..4].copy_from_slice(&((used + kept) as u32).to_le_bytes());
        to[4..4 + used].copy_from_slice(&room[..used]);
        to[4 + used..].copy_from_slice(&kept_room[..kept]);
        at += 4 + used + kept;
    }
    i32::try_from(at).unwrap_or(-1)
}

#[napi]
pub fn waf_stats(handle: u32) -> Result<WafStats> {
    let registry = registry().read().unwrap_or_else(PoisonError::into_inner);
    let c = registry
        .programs
        .get(&handle)
        .ok_or_else(|| Error::from_reason("the rule set was released"))?;
    Ok(WafStats {
        rules: c.program.rule_count,
        prefiltered_rules: c.program.prefiltered_count,
        expressions: c.program.expressions,
        memory_bytes: c.program.memory_bytes as f64,
        source_bytes: c.source_bytes,
        load_ms: c.load_ms,
        profiles: u32::try_from(registry.profiles.values().filter(|(owner, _)| *owner == handle).count())
            .unwrap_or(u32::MAX),
        answer: WafAnswerStats {
            rules: c.program.answer.rules || c.program.answer.last,
            body: c.program.answer.body,
            mime_types: c.program.settings.response_body_mime_types.clone(),
            body_bytes_max: c.program.settings.response_body_bytes_max as f64,
            reject_longer: c.program.settings.response_body_limit_action == LimitAction::Reject,
        },
        reads_tls: TLS_FACTS.iter().any(|v| c.program.used[*v as usize]),
    })
}

/// Variables that a request has only when it was packed with what the handshake told.
const TLS_FACTS: [Var; 7] = [
    Var::TlsCipher,
    Var::TlsClientFingerprint,
    Var::TlsClientNames,
    Var::TlsClientSubject,
    Var::TlsJa4,
    Var::TlsServerName,
    Var::TlsVersion,
];

fn take_u32(rest: &mut &[u8]) -> Option<u32> {
    let (head, tail) = rest.split_first_chunk::<4>()?;
    *rest = tail;
    Some(u32::from_le_bytes(*head))
}

/// True when both views look at the same memory, which a caller could do by mistake.
fn overlap(a: &[u8], b: &[u8]) -> bool {
    let (a, b) = (a.as_ptr_range(), b.as_ptr_range());
    a.start < b.end && b.start < a.end
}
