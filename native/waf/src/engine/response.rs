//! Filling the variables of an answer: the head before phase 3, the body before phase 4.

use super::Limit;
use super::sink::AnswerSink;
use super::transaction::{Entry, Transaction};
use crate::body;
use crate::program::Program;
use crate::seclang::setting::{BodyProcessor, LimitAction};
use crate::seclang::variable::Var;
use crate::wire::Response;

/// Deepest nesting of a JSON answer.
const DEPTH_MAX: usize = 128;
/// Most arguments of a JSON answer.
const ARGUMENTS_MAX: usize = 10_000;

impl Transaction {
    /// Everything that the head of the answer gives.
    pub(super) fn fill_answer_head(&mut self, program: &Program, r: &Response<'_>) {
        self.put_int(Var::ResponseStatus, i64::from(r.status));
        self.put(Var::ResponseProtocol, r.protocol);
        if self.used[Var::StatusLine as usize] {
            let mut text = std::mem::take(&mut self.text);
            text.clear();
            text.extend_from_slice(r.protocol);
            text.push(b' ');
            crate::bytes::push_int(&mut text, i64::from(r.status));
            self.put(Var::StatusLine, &text);
            self.text = text;
        }
        let any = self.used[Var::ResponseHeaders as usize] || self.used[Var::ResponseHeadersNames as usize];
        for (name, value) in r.headers() {
            if any {
                let entry = Entry {
                    key: self.values.intern(name),
                    value: self.values.intern(value),
                };
                self.entries[Var::ResponseHeaders as usize].push(entry);
                self.entries[Var::ResponseHeadersNames as usize].push(Entry {
                    key: entry.key,
                    value: entry.key,
                });
            }
        }
        self.put(Var::ResponseContentType, media_type(r));
        let length = i64::try_from(r.body.len()).unwrap_or(i64::MAX);
        self.put_int(Var::ResponseContentLength, length);
        self.put_int(Var::OutboundDataError, 0);
        self.put_int(Var::ResBodyError, 0);
        self.put_int(Var::ResBodyProcessorError, 0);
        debug_assert_eq!(self.cache_serial, program.serial);
    }

    /// Everything that the body of the answer gives.
    pub(super) fn fill_answer_body(&mut self, program: &Program, r: &Response<'_>) {
        let settings = &program.settings;
        if !self.controls.response_body_access || r.body_not_read || !is_inspected(program, media_type(r)) {
            return;
        }
        let mut content = r.body;
        let max = usize::try_from(self.controls.response_body_bytes_max).unwrap_or(usize::MAX);
        let longer = content.len() > max;
        if longer || r.body_truncated {
            self.put_int(Var::OutboundDataError, 1);
            if settings.response_body_limit_action == LimitAction::Reject {
                self.exceed(Limit::ResponseBody);
            }
            content = &content[..content.len().min(max)];
        }
        self.put(Var::ResponseBody, content);
        self.outcome.work += content.len() as u64;
        let processor = self.controls.response_processor;
        self.put(
            Var::ResBodyProcessor,
            processor.map_or("", BodyProcessor::name).as_bytes(),
        );
        let mut sink = AnswerSink {
            tx: self,
            left: ARGUMENTS_MAX,
            exceeded: None,
        };
        let result = match processor {
            Some(BodyProcessor::Json) if !content.is_empty() => {
                let mut room = std::mem::take(&mut sink.tx.json);
                let result = body::json::parse(content, DEPTH_MAX, &mut room, &mut sink);
                sink.tx.json = room;
                result
            }
            Some(BodyProcessor::Xml) if !content.is_empty() => body::xml::parse(content, &mut sink),
            _ => Ok(()),
        };
        if let Some(limit) = sink.exceeded {
            self.exceed(limit);
        }
        if let Err(reason) = result
            && !(longer || r.body_truncated)
        {
            for var in [Var::ResBodyError, Var::ResBodyProcessorError] {
                self.put_int(var, 1);
            }
            for var in [Var::ResBodyErrorMsg, Var::ResBodyProcessorErrorMsg] {
                self.put(var, reason.as_bytes());
            }
        }
    }
}

/// The media type of an answer without its parameters.
fn media_type<'a>(r: &Response<'a>) -> &'a [u8] {
    let named = |(n, _): &(&[u8], &[u8])| n.eq_ignore_ascii_case(b"content-type");
    let value = r.headers().find(named).map_or(&b""[..], |(_, v)| v);
    value.split(|b| *b == b';').next().unwrap_or(b"").trim_ascii()
}

/// True when bodies of this media type are to be inspected: `SecResponseBodyMimeType`, where `text/*` is all of a kind.
pub fn is_inspected(program: &Program, media_type: &[u8]) -> bool {
    let list = &program.settings.response_body_mime_types;
    list.iter().any(|m| match m.as_bytes().strip_suffix(b"*") {
        Some(kind) if kind.ends_with(b"/") => media_type
            .get(..kind.len())
            .is_some_and(|k| k.eq_ignore_ascii_case(kind)),
        _ => m.as_bytes().eq_ignore_ascii_case(media_type),
    })
}
