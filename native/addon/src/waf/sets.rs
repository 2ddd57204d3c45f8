//! The rule sets and profiles of the process, compiled once for all threads.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use cnx_waf::profile::{Profile, ProfileOptions};
use cnx_waf::program::Program;
use cnx_waf::program::compile::{CompileOptions, SourceFile, compile_with};
use cnx_waf::seclang::diagnostic::to_json;
use cnx_waf::seclang::setting::{EngineMode, LimitAction};
use cnx_waf::seclang::variable::Var;
use napi::bindgen_prelude::{Error, Result};
use napi_derive::napi;

use super::options::{
    WafAnswerStats, WafCompileOptions, WafFile, WafProfileOptions, WafRule, WafStats, exclusion, expressions_of,
};

/// Most rule sets and profiles alive at once, together.
const HANDLES_MAX: usize = 65_536;
/// A compiled rule set.
pub struct Compiled {
    pub program: Arc<Program>,
    source_bytes: f64,
    load_ms: f64,
}

/// All of the process.
#[derive(Default)]
pub struct Registry {
    next: u32,
    pub programs: HashMap<u32, Compiled>,
    /// Profiles with the rule set that each belongs to.
    pub profiles: HashMap<u32, (u32, Arc<Profile>)>,
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
pub static EPOCH: AtomicU64 = AtomicU64::new(0);

pub fn registry() -> &'static RwLock<Registry> {
    REGISTRY.get_or_init(RwLock::default)
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
